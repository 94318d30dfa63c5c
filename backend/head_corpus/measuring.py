"""Measure every head of a model over many texts, from ordinary traces; goes on where it stopped."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
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
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.parts import one_after_another
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

TOGETHER = 10
"""Texts between two writings of what is done so far."""


@dataclass(frozen=True)
class MeasuredText:
    """What was measured of one text, and with what."""

    values: Floats
    """[M, L, H]"""
    tokens: int
    model: str
    dtype: str
    device: str


class HeadParts:
    """Heads over a corpus in parts, see ``Parts``: each text by itself.

    Args:
        texts: N of two tokens or more; a text in it twice counts twice.
        fingerprint: SHA-256 of the model.
        limit: most tokens of a text.
        partial: file for what is done so far, from which the same model and texts go on; deleted
            at the end. None to keep nothing.

    Raises:
        ValueError: if there is no text.
    """

    compute = f"{__name__}:measured_text"

    def __init__(
        self, texts: Sequence[str], fingerprint: str, limit: int, partial: Path | None = None
    ) -> None:
        if not texts:
            raise ValueError("texts has none: give a file with one text or more")
        self._texts, self._fingerprint, self._limit = texts, fingerprint, limit
        self._partial = partial
        self._key = f"{VERSION} {fingerprint} {digest(texts)}"
        self._done = _resumed(partial, self._key)
        self._fresh = 0

    def stages(self) -> Iterator[Sequence[tuple[int, str, int]]]:
        """Yield the texts that are lacking, with their number and the limit."""
        lacking = (number for number in range(len(self._texts)) if number not in self._done)
        yield [(number, self._texts[number], self._limit) for number in lacking]

    def key(self, part: Hashable) -> str:
        """Return what a text's numbers depend on beside the model."""
        _, text, limit = cast(tuple[int, str, int], part)
        return f"heads {VERSION} {limit} {digest([text])}"

    def take(self, part: Hashable, answer: Any) -> None:
        """Take the ``MeasuredText`` of a text; every few are written down."""
        number, _, _ = cast(tuple[int, str, int], part)
        self._done[number] = answer
        self._fresh += 1
        if self._fresh % TOGETHER == 0:
            self.keep()

    def doing(self, part: Hashable) -> str:  # noqa: ARG002 - all are read alike
        """Return what is done with a text."""
        return "reading texts"

    def shown(self) -> None:
        """Nobody follows it."""

    @contextmanager
    def kept_if_stopped(self) -> Iterator[None]:
        """Write down what is done where the work ends before its end."""
        try:
            yield
        except BaseException:
            self.keep()
            raise

    def keep(self) -> None:
        """Write down what is done."""
        if self._partial and self._done:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            numbers = sorted(self._done)
            done = [self._done[number] for number in numbers]
            np.savez_compressed(
                self._partial,
                key=self._key,
                numbers=numbers,
                values=np.stack([each.values for each in done]),
                tokens=[each.tokens for each in done],
                how=[(each.model, each.dtype, each.device) for each in done],
            )

    def result(self) -> HeadCorpus:
        """Return the statistics of every head over the texts."""
        done = [self._done[number] for number in range(len(self._texts))]
        about = MeasuredOn(
            done[0].model,
            self._fingerprint,
            done[0].dtype,
            done[0].device,
            digest(self._texts),
            tuple(self._texts),
            tuple(each.tokens for each in done),
        )
        corpus = HeadCorpus.of(about, np.stack([each.values for each in done]))
        if self._partial:
            self._partial.unlink(missing_ok=True)
        return corpus


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
        texts: as ``HeadParts`` takes them.
        limit: most tokens of a text.
        emit: receives progress, text by text.
        cancel: checked in every layer.
        partial: as ``HeadParts`` takes it.

    Raises:
        ValueError: if there is no text, or one cannot be read by this model.
        Cancelled: if it was cancelled; ``partial`` has the texts that were done.
    """
    parts, cancel = HeadParts(texts, loaded.fingerprint, limit, partial), cancel or CancelToken()
    request = TraceRequest(model=loaded.name, text=texts[0])

    def compute(part: Hashable, said: Callable[[Event], None]) -> MeasuredText:
        return measured_text(request, cast(Any, part), loaded, limit, said, cancel)

    with parts.kept_if_stopped():
        return cast(HeadCorpus, one_after_another(parts, compute, emit, cancel))


def measured_text(
    request: TraceRequest,  # noqa: ARG001 - the model is what is needed of it
    part: tuple[int, str, int],
    loaded: LoadedModel,
    limit: int,  # noqa: ARG001 - that of the work
    emit: Callable[[Event], None],  # noqa: ARG001 - one text is read quickly
    cancel: CancelToken,
) -> MeasuredText:
    """Measure one text.

    Args:
        part: number of the text, the text, and most tokens of it.
        loaded: the model.
        cancel: checked in every layer.

    Raises:
        ValueError: if it cannot be read by this model.
    """
    number, text, most = part
    values, length = _one(loaded, text, number, most, cancel)
    dtype = str(loaded.dtype).removeprefix("torch.")
    return MeasuredText(values, length, loaded.name, dtype, loaded.device.type)


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


def _resumed(partial: Path | None, key: str) -> dict[int, MeasuredText]:
    """Return what is done already of exactly this measurement, by the number of the text."""
    if partial is None or not partial.is_file():
        return {}
    try:
        with np.load(partial, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return {}
            columns = (stored["values"], stored["tokens"].tolist(), stored["how"].tolist())
            done = [MeasuredText(v, t, *how) for v, t, how in zip(*columns, strict=True)]
            return dict(zip(stored["numbers"].tolist(), done, strict=True))
    except (OSError, ValueError, KeyError, BadZipFile):
        return {}  # it was being written when the machine stopped
