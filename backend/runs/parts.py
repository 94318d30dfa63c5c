"""Work that consists of parts, each of which can be computed by itself, anywhere.

A run may (a sweep), and so may what is no run: heads over a corpus, a grid, a table. Where parts
are computed is the engine's affair; what was computed of them is theirs to keep, so that the same
work, asked again, goes on where it stopped.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tokenarium.backend.runs.events import CancelToken, Event, Partial, Progress
from tokenarium.backend.runs.result import Result


class Parts(Protocol):
    """Work in parts. Not thread-safe: one part is handed over at a time."""

    compute: str
    """``module:function`` that computes one: takes the request, the part, the loaded model, the
    token limit, what receives events, and the ``CancelToken``."""

    def stages(self) -> Iterator[Sequence[Hashable]]:
        """Yield parts that may be computed at once; those of the next stage come after them."""

    def key(self, part: Hashable) -> str:
        """Return all that the answer of a part depends on beside the model and the machine; empty
        where nobody but ``take`` is to remember it."""

    def take(self, part: Hashable, answer: Any) -> None:
        """Take what was computed of a part."""

    def doing(self, part: Hashable) -> str:
        """Return in words what a part is."""

    def shown(self) -> Result | None:
        """Return what is known so far, once one part is, for whoever follows a run; else None."""

    def result(self) -> Any:
        """Return the whole, once all parts are there.

        Raises:
            ValueError: if nothing could be measured.
        """


@dataclass(frozen=True)
class Part:
    """One part, as an engine is asked for it."""

    compute: str
    """See ``Parts``."""
    of: Hashable
    """What ``stages`` yielded."""


class Taking:
    """Hands over what was computed, and says how far the work is.

    Args:
        parts: the work.
        emit: receives progress, and what is known so far of a run.
    """

    def __init__(self, parts: Parts, emit: Callable[[Event], None]) -> None:
        self._parts, self._emit = parts, emit
        self.stages = [list(stage) for stage in parts.stages()]
        self.done, self.total = 0, sum(map(len, self.stages))

    def take(self, part: Hashable, answer: Any) -> None:
        """Hand over the answer of a part."""
        self._parts.take(part, answer)
        self.done += 1
        self._emit(Progress(self._parts.doing(part), self.done, self.total))
        shown = self._parts.shown() if self.done < self.total else None
        if shown is not None:
            self._emit(Partial(shown))

    def said(self, event: Event) -> None:
        """Pass on what is said of a part; how many parts are done is known here only."""
        if isinstance(event, Progress):
            event = Progress(event.doing, self.done, self.total)
        if not isinstance(event, Partial):
            self._emit(event)


def one_after_another(
    parts: Parts,
    compute: Callable[[Hashable, Callable[[Event], None]], Any],
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> Any:
    """Compute all parts in order and return the whole.

    Args:
        parts: the work.
        compute: computes a part, given what receives its events.
        emit: receives progress.
        cancel: checked between parts; ``compute`` checks it within one.

    Raises:
        Cancelled: if it was cancelled; what is finished was handed over.
    """
    taking = Taking(parts, emit)
    for stage in taking.stages:
        for part in stage:
            cancel.check()
            taking.take(part, compute(part, taking.said))
    return parts.result()
