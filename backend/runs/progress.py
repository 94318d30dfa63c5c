"""How far a run is and what is known of it so far, for whoever watches."""

import time
from collections.abc import Callable

from tokenarium.backend.runs.events import CancelToken, Event, Partial, Progress
from tokenarium.backend.runs.result import Result

PARTIAL_BYTES = 128 * 2**20
"""Unfinished results are copied, several times a second, up to this size only."""
PARTIAL_SECONDS = 0.3
PARTIAL_SHARE = 0.1
"""Partial results come at most this often, and take at most this share of the time."""


class ProgressReporter:
    """Reports progress and, now and then, the unfinished result; stops a run that was cancelled.

    Args:
        emit: receives the events.
        cancel: checked at every report.
        partial: returns what is known so far; None where there is nothing to show before the end.
        nbytes: returns the bytes that ``partial`` would copy now.
        seconds: least time between partial results; None for ``PARTIAL_SECONDS``.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        cancel: CancelToken,
        partial: Callable[[], Result] | None = None,
        nbytes: Callable[[], int] = lambda: 0,
        seconds: float | None = None,
    ) -> None:
        self.emit, self.cancel = emit, cancel
        self._partial, self._nbytes = partial, nbytes
        self._seconds = PARTIAL_SECONDS if seconds is None else seconds
        self._next = time.monotonic() + self._seconds

    def report(self, doing: str, done: int, total: int, *, partial: bool = True) -> None:
        """Report ``done`` of ``total``, and what is known where that is due.

        Args:
            doing: what is being done.
            done: units that are finished.
            total: units in all.
            partial: whether there is anything new to show beside it.

        Raises:
            Cancelled: if the run was cancelled.
        """
        self.cancel.check()
        self.emit(Progress(doing, done, total))
        start = time.monotonic()
        if not partial or start < self._next or self._nbytes() > PARTIAL_BYTES:
            return
        self.show()
        now = time.monotonic()
        self._next = now + max(self._seconds, (now - start) / PARTIAL_SHARE)

    def due(self) -> None:
        """Let the next report show what is known: its reader waits for the first of it."""
        self._next = 0.0

    def show(self) -> None:
        """Emit the unfinished result now: for runs whose units take long and are few."""
        if self._partial is not None:
            self.emit(Partial(self._partial()))
