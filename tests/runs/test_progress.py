"""What a run reports on its way: progress at once, unfinished results now and then, an end."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from tokenarium.backend.runs.events import Cancelled, CancelToken, Event, Partial, Progress
from tokenarium.backend.runs.progress import PARTIAL_BYTES, ProgressReporter
from tokenarium.backend.runs.result import Result


@dataclass(frozen=True)
class Known(Result):
    schema_version: ClassVar[int] = 1


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_every_report_is_an_event_and_a_cancelled_run_ends_there(events: list[Event]) -> None:
    cancel = CancelToken()
    progress = ProgressReporter(events.append, cancel)
    progress.report("reading layers", 1, 4)
    assert events == [Progress("reading layers", 1, 4)]
    cancel.cancel()
    with pytest.raises(Cancelled):
        progress.report("reading layers", 2, 4)
    assert len(events) == 1


def test_unfinished_results_come_when_they_are_due(events: list[Event], clock: list[float]) -> None:
    progress = ProgressReporter(events.append, CancelToken(), Known, seconds=0.5)
    shown = []
    for at in (100.4, 100.5, 100.9, 101.0):
        clock[0] = at
        progress.report("reading", 1, 2)
        shown.append(isinstance(events[-1], Partial))
    assert shown == [False, True, False, True]


def test_a_result_that_takes_long_to_copy_comes_less_often(
    events: list[Event], clock: list[float]
) -> None:
    def slow() -> Known:
        clock[0] += 0.2
        return Known()

    progress = ProgressReporter(events.append, CancelToken(), slow, seconds=0.5)
    shown = []
    for at in (100.5, 102.6, 102.75):  # copied until 100.7; at most a tenth of the time
        clock[0] = at
        progress.report("reading", 1, 2)
        shown.append(isinstance(events[-1], Partial))
    assert shown == [True, False, True]


@pytest.mark.parametrize("left_out", ["nothing new", "too large", "nothing to show"])
def test_no_unfinished_result(events: list[Event], clock: list[float], left_out: str) -> None:
    size = PARTIAL_BYTES + (left_out == "too large")
    made = None if left_out == "nothing to show" else Known
    progress = ProgressReporter(events.append, CancelToken(), made, lambda: size)
    clock[0] += 9
    progress.report("reading", 1, 2, partial=left_out != "nothing new")
    assert events == [Progress("reading", 1, 2)]


def test_show_waits_for_nothing(events: list[Event], clock: list[float]) -> None:
    ProgressReporter(events.append, CancelToken(), Known).show()
    assert events == [Partial(Known())]
    ProgressReporter(events.append, CancelToken()).show()
    assert len(events) == 1
