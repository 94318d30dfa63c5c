"""Events of one run on their way from the worker to whoever watches it."""

import threading
from collections.abc import Iterator

from tokenarium.backend.runs.events import CancelToken, Event, Finished

# How soon a reader notices that the run was cancelled while the worker is silent.
_POLL_S = 0.05


class EventChannel:
    """Holds the latest event of each kind, so that a slow reader never makes it grow.

    Any number of readers, each at its own pace and from any moment on: everyone gets what is the
    latest of each kind, in the order in which they were last renewed, and the outcome after all.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: dict[type[Event], tuple[int, Event]] = {}
        self._count = 0
        self._outcome: Finished | BaseException | None = None

    def put(self, event: Event) -> None:
        """Add ``event`` in place of the last one of its kind."""
        with self._changed:
            self._count += 1
            self._latest[type(event)] = (self._count, event)
            self._changed.notify_all()

    def close(self, outcome: Finished | BaseException) -> None:
        """Add the last event, or the exception that ended the run."""
        with self._changed:
            self._outcome = outcome
            self._changed.notify_all()

    def read(self, cancel: CancelToken) -> Iterator[Event]:
        """Yield events up to ``Finished``, or raise what ended the run.

        Raises:
            Cancelled: as soon as ``cancel`` says so, whatever the worker is doing.
        """
        seen = 0
        while True:
            seen, event = self._after(seen)
            if isinstance(event, BaseException):
                raise event.with_traceback(None)  # one exception, perhaps several readers
            if event is not None:
                yield event
            if isinstance(event, Finished):
                return
            cancel.check()

    def _after(self, seen: int) -> tuple[int, Event | BaseException | None]:
        """Return the oldest event after number ``seen`` with its own number, else the outcome."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen or self._outcome, _POLL_S)
            unread = [numbered for numbered in self._latest.values() if numbered[0] > seen]
            if unread:
                return min(unread, key=lambda numbered: numbered[0])
            return seen, self._outcome
