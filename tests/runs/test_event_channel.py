import threading

import pytest

from tokenarium.backend.runs.event_channel import EventChannel
from tokenarium.backend.runs.events import Cancelled, CancelToken, Finished, Progress, Queued

FINISHED = Finished(run=None)


def test_mailbox_keeps_the_latest_of_each_kind_and_the_outcome_last() -> None:
    channel = EventChannel()
    for done in range(10_000):
        channel.put(Progress("counting", done, 10_000))
    channel.put(Queued(2))
    channel.put(Queued(1))
    channel.close(FINISHED)
    read = list(channel.read(CancelToken()))
    assert read == [Progress("counting", 9_999, 10_000), Queued(1), FINISHED]


def test_mailbox_delivers_everything_to_a_reader_that_keeps_up() -> None:
    channel = EventChannel()
    events = channel.read(CancelToken())
    for done in range(3):
        channel.put(Progress("counting", done, 3))
        assert next(events) == Progress("counting", done, 3)


def test_mailbox_raises_what_ended_the_run_after_its_events() -> None:
    channel = EventChannel()
    channel.put(Queued(1))
    channel.close(RuntimeError("defect"))
    events = channel.read(CancelToken())
    assert next(events) == Queued(1)
    with pytest.raises(RuntimeError, match="defect"):
        next(events)


def test_mailbox_reader_is_freed_by_cancel_even_if_the_worker_is_silent() -> None:
    cancel = CancelToken()
    threading.Timer(0.1, cancel.cancel, ["enough"]).start()
    with pytest.raises(Cancelled, match="enough"):
        list(EventChannel().read(cancel))


def test_channel_gives_each_reader_the_latest_in_the_order_of_renewal() -> None:
    channel = EventChannel()
    channel.put(Progress("counting", 0, 2))
    channel.put(Queued(1))
    channel.put(Progress("counting", 1, 2))
    renewed = [Queued(1), Progress("counting", 1, 2)]
    first, second = channel.read(CancelToken()), channel.read(CancelToken())
    assert [next(first), next(first)] == renewed
    assert [next(second), next(second)] == renewed, "what one has read the other gets too"
    channel.put(Queued(2))
    channel.close(FINISHED)
    assert list(first) == list(second) == [Queued(2), FINISHED]
    assert list(channel.read(CancelToken())) == [Progress("counting", 1, 2), Queued(2), FINISHED]
