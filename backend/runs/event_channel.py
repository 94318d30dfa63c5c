"""Events of one run on their way from the worker to whoever watches it."""

import threading
from collections import OrderedDict
from collections.abc import Iterator

from tokenarium.backend.runs.events import CancelToken, Event, Finished

# How soon a reader notices that the run was cancelled while the worker is silent.
_POLL_S = 0.05


class EventChannel:
    """Holds the latest event of each kind, so that a slow reader never makes it grow.

    Events leave in the order in which they were last renewed; the outcome leaves after them all.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[type[Event], Event] = OrderedDict()
        self._outcome: Finished | BaseException | None = None

    def put(self, event: Event) -> None:
        """Add ``event`` in place of an unread one of its kind."""
        with self._changed:
            self._waiting.pop(type(event), None)
            self._waiting[type(event)] = event
            self._changed.notify()

    def close(self, outcome: Finished | BaseException) -> None:
        """Add the last event, or the exception that ended the run."""
        with self._changed:
            self._outcome = outcome
            self._changed.notify()

    def read(self, cancel: CancelToken) -> Iterator[Event]:
        """Yield events up to ``Finished``, or raise what ended the run.

        Raises:
            Cancelled: as soon as ``cancel`` says so, whatever the worker is doing.
        """
        while True:
            event = self._next()
            if isinstance(event, BaseException):
                raise event
            if event is not None:
                yield event
            if isinstance(event, Finished):
                return
            cancel.check()

    def _next(self) -> Event | BaseException | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._outcome, _POLL_S)
            if self._waiting:
                return self._waiting.popitem(last=False)[1]
            return self._outcome
