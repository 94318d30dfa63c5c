"""How long and how many at once a public page computes what is not a run of a model."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tokenarium.backend.runs.events import CancelToken, current_cancel

AT_ONCE = 2
"""Long computations of all visitors together: each holds a thread that pages are answered by."""


class Allowance:
    """Turns at computing, none of which lasts longer than it may.

    Args:
        seconds: longest turn; None where nothing is limited.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds, self._free = seconds, threading.BoundedSemaphore(AT_ONCE)

    def at_most(self, seconds: float) -> float:
        """Return so many seconds, or what a turn may last where that is less."""
        return seconds if self._seconds is None else min(seconds, self._seconds)

    @contextmanager
    def turn(self, remedy: str) -> Iterator[Callable[[], None]]:
        """Yield what is called at every step, and raises once the time is over, or on Cancel.

        Args:
            remedy: what makes it shorter.

        Raises:
            ValueError: if too many compute now, or the time is over.
            Cancelled: from what is yielded, if the run that this thread computes was cancelled.
        """
        cancel = current_cancel() or CancelToken()
        if self._seconds is None:
            yield cancel.check
            return
        if not self._free.acquire(blocking=False):
            raise ValueError(
                f"{AT_ONCE} computations of this kind are going on here: try again in a minute"
            )
        most, end = self._seconds, time.monotonic() + self._seconds

        def check() -> None:
            cancel.check()
            if time.monotonic() > end:
                raise ValueError(f"this takes longer than the {most:g} s allowed here: {remedy}")

        try:
            yield check
        finally:
            self._free.release()
