"""Answers that nobody has fetched: a few megabytes for a while, not all of them for good.

Gradio keeps what an event answered until its caller reads it, for the newest 2,000 callers whatever
their answers weigh, and of every caller the ids of its events without end. A caller that only asks
and never reads could fill the memory with that.
"""

import time
from asyncio import Queue
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from gradio.server_messages import ProcessCompletedMessage

MOST_CALLERS = 2_000
"""Newest callers whose messages are kept."""
MOST_BYTES = 128 * 2**20
"""Most that answers hold together while they wait for their readers, the latest one beside."""
KEPT_S = 120.0
"""How long a whole answer waits for its reader."""
_NUMBER_BYTES, _TEXT_BYTES = 32, 56
_LARGE_BYTES = 4_096
_OF_ONE_ANSWER = 4
"""Large messages that one answer may come in, such as the last step of a run and its end."""


def weight(answer: object) -> int:
    """Return about how many bytes an answer holds, without looking at every number of it."""
    if isinstance(answer, str | bytes):
        return _TEXT_BYTES + len(answer)
    if isinstance(answer, Mapping):
        return sum(weight(each) for each in answer.values()) + _TEXT_BYTES * len(answer)
    if isinstance(answer, list | tuple):
        if answer and isinstance(answer[0], int | float | None):
            return _NUMBER_BYTES * len(answer)
        return sum(map(weight, answer)) + 8 * len(answer)
    return int(getattr(answer, "nbytes", _NUMBER_BYTES))


class Mailbox(Queue[Any]):
    """Messages to one caller, who is told what they weigh."""

    def __init__(self, boxes: "Mailboxes") -> None:
        super().__init__()
        self._boxes = boxes
        self._weights: deque[int] = deque()
        self.bytes = self.large = 0
        """What they weigh, and how many of them are large."""
        self.since = 0.0
        """When the oldest of its messages came."""
        self.whole = False
        """Whether an answer is among them from its beginning to its end."""

    def _put(self, item: Any) -> None:
        if self.empty():
            self.since = time.monotonic()
        super()._put(item)
        added = weight(getattr(item, "output", None))
        self._weights.append(added)
        self.bytes += added
        self.large += added > _LARGE_BYTES
        self.whole |= isinstance(item, ProcessCompletedMessage)
        if added > _LARGE_BYTES:
            self._boxes.make_room(self)

    def _get(self) -> Any:
        item = super()._get()
        read = self._weights.popleft()
        self.bytes -= read
        self.large -= read > _LARGE_BYTES
        if self.empty():
            self.bytes, self.whole = 0, False
        return item


class Mailboxes(OrderedDict[str, Mailbox]):
    """Mailboxes by caller, in place of those of Gradio's queue.

    Args:
        ids: of the events of each caller, which go with its mailbox.
        most_bytes: that unread answers may hold together.
        kept_s: how long a whole answer waits.
    """

    def __init__(
        self, ids: "EventIds", most_bytes: int = MOST_BYTES, kept_s: float = KEPT_S
    ) -> None:
        super().__init__()
        self._ids, self._most_bytes, self._kept_s = ids, most_bytes, kept_s

    def __setitem__(self, caller: str, queue: object) -> None:
        """Keep a mailbox in place of Gradio's queue."""
        if caller not in self and len(self) >= MOST_CALLERS:
            self._drop(next(iter(self)))
        super().__setitem__(caller, Mailbox(self))

    def __delitem__(self, caller: str) -> None:
        """Forget a mailbox, which each of two streams of a page that is left asks for."""
        if caller in self:
            super().__delitem__(caller)

    def __missing__(self, caller: str) -> Mailbox:
        """Return a mailbox that nobody reads, for what is left of a caller's event."""
        return Mailbox(Mailboxes(self._ids))

    @property
    def bytes(self) -> int:
        """About what the messages in them hold."""
        return sum(box.bytes for box in self.values())

    def make_room(self, latest: Mailbox) -> None:
        """Drop what waited too long, and the oldest of the rest until they hold little enough.

        The latest stays, however large its answer, unless it holds many that nobody reads.
        """
        before = time.monotonic() - self._kept_s
        held = self.bytes
        waiting = [(box.since, caller) for caller, box in self.items() if box.bytes]
        for since, caller in sorted(waiting):
            box = self[caller]
            late, many = box.whole and since < before, held > self._most_bytes
            spared = box is latest and box.large <= _OF_ONE_ANSWER
            if (late or many) and not spared:
                held -= box.bytes
                self._drop(caller)

    def _drop(self, caller: str) -> None:
        del self[caller]
        self._ids.pop(caller, None)


class EventIds(dict[str, set[str]]):
    """Ids of events that are not read to their end, by caller; callers without any are forgotten.

    Args:
        most: callers before it is looked which have none left.
    """

    def __init__(self, most: int = MOST_CALLERS) -> None:
        super().__init__()
        self._least = self._most = most

    def __setitem__(self, caller: str, ids: set[str]) -> None:
        """Keep the ids of a caller."""
        if len(self) >= self._most:
            for name in [name for name, left in self.items() if not left]:
                del self[name]
            self._most = max(self._least, 2 * len(self))
        super().__setitem__(caller, ids)

    def __missing__(self, caller: str) -> set[str]:
        """Return no ids of a caller that was forgotten."""
        return set()


def waits(app: Any, event: str) -> bool:
    """Return whether an event of an application is on its way, or answered and not read."""
    queue = _queue_of(app)
    if event in queue.event_ids_to_events or event in queue.pending_messages_per_session:
        return True
    return any(event in ids for ids in queue.pending_event_ids_session.values())


def knows(app: Any, caller: str) -> bool:
    """Return whether something waits, or is on its way, for a caller of an application."""
    return caller in _queue_of(app).pending_messages_per_session


def keep_few_unread(app: Any) -> None:
    """Give an application mailboxes that hold little, with what is in its own."""
    queue = _queue_of(app)
    if isinstance(queue.pending_messages_per_session, Mailboxes):
        return
    ids = EventIds()
    ids.update(queue.pending_event_ids_session)
    boxes = Mailboxes(ids)
    for caller, messages in queue.pending_messages_per_session.items():
        boxes[caller] = messages
        while not messages.empty():
            boxes[caller].put_nowait(messages.get_nowait())
    queue.pending_messages_per_session, queue.pending_event_ids_session = boxes, ids


def _queue_of(app: Any) -> Any:
    return app.get_blocks()._queue  # noqa: SLF001 - Gradio names it nowhere else
