"""What ``tokenarium heads MODEL`` does: texts in, a measurement of the model's heads out."""

import re
from collections.abc import Callable
from pathlib import Path

from tokenarium.backend.errors import UserError
from tokenarium.backend.head_corpus.measuring import HeadParts
from tokenarium.backend.head_corpus.stored import own_folder
from tokenarium.backend.head_corpus.texts import TEXTS, read_texts
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.trace.request import TraceRequest

PARTIAL = "partial.npz"


def measure_heads(
    lab: Lab,
    model: str,
    texts: Path | None = None,
    out: Path | None = None,
    emit: Callable[[Event], None] = lambda _: None,
    cancel: CancelToken | None = None,
) -> Path:
    """Measure every head of a model over the texts of a file and return the folder of the result.

    Args:
        lab: whose model it is; texts are read wherever its runs are computed.
        model: name.
        texts: file, as ``read_texts`` takes it; None for those that come with the application.
        out: folder, where an older measurement is replaced; None for the one that pages look in.
        emit: receives progress.
        cancel: stops it; begun again it goes on.

    Raises:
        UserError: if texts or model cannot be read, or nothing can be written to the folder.
        Cancelled: if it was cancelled.
    """
    of = read_texts(texts or TEXTS)
    folder = out or own_folder(lab.settings) / re.sub(r"[^\w.-]+", "-", model).strip("-.")
    request = lab.request(TraceRequest, model=model, text=of[0], overflow="exceed")
    fingerprint = lab.fingerprint(request, emit=emit, cancel=cancel)
    try:
        parts = HeadParts(of, fingerprint, lab.settings.max_tokens, folder / PARTIAL)
        with parts.kept_if_stopped():
            corpus = lab.in_parts(parts, request, emit=emit, cancel=cancel)
        corpus.save(folder)
    except OSError as error:
        raise UserError(
            f"out={folder} cannot be written ({error.strerror}): choose another"
        ) from error
    return folder
