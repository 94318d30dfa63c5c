"""Events of one run on their way from the worker to whoever watches it."""

import threading
from collections import OrderedDict

from backend.events import Event


class Mailbox:
    """Holds the latest event of each kind, so that a slow reader never makes it grow.

    Events leave in the order in which they were last renewed; the outcome leaves after them all.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[type[Event], Event] = OrderedDict()
        self._outcome: Event | Exception | None = None

    def put(self, event: Event) -> None:
        """Add ``event`` in place of an unread one of its kind."""
        with self._changed:
            self._waiting.pop(type(event), None)
            self._waiting[type(event)] = event
            self._changed.notify()

    def close(self, outcome: Event | Exception) -> None:
        """Add the last event, or the exception that ended the run."""
        with self._changed:
            self._outcome = outcome
            self._changed.notify()

    def get(self, timeout_s: float) -> Event | Exception | None:
        """Return the next event, the outcome once all are read, or None after ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._outcome, timeout_s)
            if self._waiting:
                return self._waiting.popitem(last=False)[1]
            return self._outcome

    def __len__(self) -> int:
        return len(self._waiting)
