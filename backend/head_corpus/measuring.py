"""Measure every head of a model over many texts, from ordinary traces; goes on where it stopped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from tokenarium.backend.head_corpus.copies import copy_scores
from tokenarium.backend.head_corpus.corpus import (
    MEASURED,
    VERSION,
    Floats,
    HeadCorpus,
    MeasuredOn,
    digest,
)
from tokenarium.backend.head_corpus.traced import trace_measures
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, Event, Progress
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

TOGETHER = 10
"""Texts between two writings of what is done so far."""


def measure(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    limit: int,
    emit: Callable[[Event], None] = lambda _: None,
    cancel: CancelToken | None = None,
    partial: Path | None = None,
) -> HeadCorpus:
    """Return statistics of every head over texts.

    Args:
        loaded: the model, used by nobody else meanwhile.
        texts: N of two tokens or more; a text in it twice counts twice.
        limit: most tokens of a text.
        emit: receives progress, text by text.
        cancel: checked in every layer.
        partial: file for what is done so far, from which the same model and texts go on; deleted
            at the end. None to keep nothing.

    Raises:
        ValueError: if there is no text, or one cannot be read by this model.
        Cancelled: if it was cancelled; ``partial`` has the texts that were done.
    """
    if not texts:
        raise ValueError("texts has none: give a file with one text or more")
    cancel = cancel or CancelToken()
    key = f"{VERSION} {loaded.fingerprint} {loaded.dtype} {digest(texts)}"
    done, tokens = _resumed(partial, key)
    try:
        for number in range(len(done), len(texts)):
            emit(Progress("reading texts", number, len(texts)))
            values, length = _one(loaded, texts[number], number, limit, cancel)
            done.append(values)
            tokens.append(length)
            if len(done) % TOGETHER == 0:
                _keep(partial, key, done, tokens)
    except BaseException:
        _keep(partial, key, done, tokens)
        raise
    emit(Progress("reading texts", len(texts), len(texts)))
    about = MeasuredOn(
        loaded.name,
        loaded.fingerprint,
        str(loaded.dtype).removeprefix("torch."),
        loaded.device.type,
        digest(texts),
        tuple(texts),
        tuple(tokens),
    )
    corpus = HeadCorpus.of(about, np.stack(done))
    if partial:
        partial.unlink(missing_ok=True)
    return corpus


def _one(
    loaded: LoadedModel, text: str, number: int, limit: int, cancel: CancelToken
) -> tuple[Floats, int]:
    """Return [M, L, H] of one text, and its tokens."""
    try:
        request = TraceRequest(model=loaded.name, text=text, top_k=1, tiles=1, forgetting=())
        result = trace(request, loaded, limit, lambda _: None, cancel)
    except ValueError as error:
        raise ValueError(f"text {number + 1} cannot be read: {error}") from error
    if result.length < 2:
        raise ValueError(f"text {number + 1} is one token: give texts of two or more")
    found = trace_measures(result)
    found |= copy_scores(loaded, result.token_ids.tolist(), result.heads, cancel)
    return np.stack([found[name] for name in MEASURED]), result.length


def _resumed(partial: Path | None, key: str) -> tuple[list[Floats], list[int]]:
    """Return what is done already of exactly this measurement."""
    if partial is None or not partial.is_file():
        return [], []
    try:
        with np.load(partial, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return [], []
            return list(stored["values"]), stored["tokens"].tolist()
    except (OSError, ValueError, KeyError, BadZipFile):
        return [], []  # it was being written when the machine stopped


def _keep(partial: Path | None, key: str, done: list[Floats], tokens: list[int]) -> None:
    if partial and done:
        partial.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, key=key, values=np.stack(done), tokens=np.asarray(tokens))
