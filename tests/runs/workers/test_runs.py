"""Runs computed by workers: the same numbers and events, Cancel, a worker that ends."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.fake_workers import FakeCluster, FakeWorker
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.environment import StartUpError
from tokenarium.backend.errors import UserError
from tokenarium.backend.models.names import NO_MODEL
from tokenarium.backend.runs.engine import Computed, Reports
from tokenarium.backend.runs.events import (
    Cancelled,
    CancelToken,
    Finished,
    Partial,
    Progress,
    Queued,
)
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.scale.engine import AGAIN, PartMemo, WorkersEngine
from tokenarium.backend.scale.replicas import Bounds, Replicas
from tokenarium.backend.scale.worker import News, WorkerLost
from tokenarium.backend.settings import Settings
from tokenarium.backend.trace.request import TraceRequest


def count(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=MODEL, text=text, **values)


def test_a_run_by_a_worker_equals_a_local_one_and_is_said_alike(
    lab: Lab, make_lab: Callable[..., Lab], cluster: FakeCluster
) -> None:
    asked = TraceRequest(model=MODEL, text="Once upon a time")
    *said, last = lab.stream(asked)
    assert isinstance(last, Finished)
    assert any(isinstance(event, Progress) for event in said)
    lab.warm(MODEL)
    assert lab._registry._shelf is None, "no model is loaded in this process"
    here = make_lab(database="duckdb:///:memory:").run(asked)
    for name, array in here.result.arrays().items():
        np.testing.assert_array_equal(last.run.result.arrays()[name], array)
    assert last.run.environment["fingerprint"] == here.environment["fingerprint"]
    assert lab.run(asked).cached
    assert [worker.begun[0][1] for worker in cluster.workers] == [None]
    with pytest.raises(UserError, match="tokens"):
        lab.run(TraceRequest(model=MODEL, text="a" * 40_000))


def test_partial_results_and_failures_cross(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    begun = lab.start(count(pause_ms=20, steps=50))
    watch.gate.set()
    partial = next(event for event in lab.follow(begun.id) if isinstance(event, Partial))
    assert partial.result.pairs == (("a", "b"), ("c", "d"))
    lab.cancel(begun.id)
    with pytest.raises(UserError, match="steps=3 is odd"):
        lab.run(count("two", fail="value"))
    with pytest.raises(UserError, match="memory"):
        lab.run(count("three", fail="memory"))
    with pytest.raises(RuntimeError, match="steps=3 is odd"):
        lab.run(count("four", fail="defect"))


def test_cancel_reaches_the_worker_which_is_free_again(
    lab: Lab, watch: Watch, cluster: FakeCluster
) -> None:
    begun = lab.start(count(steps=1_000, pause_ms=5))
    until(lambda: watch.steps > 1)
    lab.cancel(begun.id)
    assert watch.stopped.wait(5)
    until(lambda: not lab.running())
    with pytest.raises(Cancelled):
        list(lab.follow(begun.id))
    assert lab.run(count("two")).result.layers_done == 3
    [worker] = cluster.workers
    assert worker.inner._runs == {}


def test_a_run_whose_worker_ended_is_tried_once_more_and_says_so(
    lab: Lab, watch: Watch, cluster: FakeCluster
) -> None:
    watch.gate.clear()
    begun = lab.start(count())
    until(lambda: cluster.workers and cluster.workers[0].begun)
    seen: list[str] = []

    def follow() -> None:
        seen.extend(e.doing for e in lab.follow(begun.id) if isinstance(e, Progress))

    reader = threading.Thread(target=follow)
    reader.start()
    cluster.workers[0].killed.set()
    until(lambda: len(cluster.workers) == 2)
    watch.gate.set()
    reader.join(10)
    assert any(AGAIN in doing for doing in seen)
    assert lab.open(begun.id).result.layers_done == 3
    assert len(lab.search()) == 1
    assert cluster.workers[0].ended


def test_two_workers_that_end_are_an_answer_and_nothing_is_stored(
    lab: Lab, watch: Watch, cluster: FakeCluster
) -> None:
    cluster.on_start = lambda worker: worker.killed.set()
    with pytest.raises(UserError, match=r"two workers ended .* more memory"):
        lab.run(count())
    assert lab.search() == []
    assert len(cluster.workers) == 2
    cluster.on_start = lambda worker: None
    assert lab.run(count()).result.layers_done == 3


def test_as_many_runs_of_a_model_go_on_as_it_has_workers(
    lab: Lab, watch: Watch, cluster: FakeCluster
) -> None:
    watch.gate.clear()
    begun = [lab.start(count(text)) for text in ("one", "two", "three")]
    until(lambda: watch.together[MODEL] == 2)
    assert next(iter(lab.follow(begun[2].id))) == Queued(1)
    assert lab.waiting() == 1
    watch.gate.set()
    until(lambda: not lab.running())
    assert (len(cluster.workers), watch.most_together[MODEL]) == (2, 2)


def test_without_ray_the_program_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, make_lab: Callable[..., Lab]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(StartUpError, match=r"tokenarium\[scale\].*--engine local"):
        make_lab(engine="ray")


class Scripted(FakeWorker):
    """A worker that says what stands in a script."""

    def __init__(self, script: list[object]) -> None:
        self.script = script

    def begin(self, *given: object) -> None:
        """Nothing is computed."""

    def news(self, run: str, wait_s: float) -> News:
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def end(self) -> None:
        """Nothing runs."""


CHILDREN = [(Computed(number, 1.0, {}), count(str(number))) for number in range(2)]  # type: ignore[arg-type]


def scripted(scripts: list[list[object]]) -> tuple[WorkersEngine, Reports, list[object]]:
    """Return an engine whose workers follow scripts, reports to it, and the smaller runs stored."""
    bounds = Bounds(most=1, least_each=0, most_each=1, idle_s=60)
    replicas = Replicas(lambda name: Scripted(scripts.pop(0)), bounds)
    engine = WorkersEngine(Settings(), None, replicas, lambda source: None, PartMemo())  # type: ignore[arg-type]
    stored: list[object] = []
    reports = Reports(lambda event: None, lambda computed, asked: stored.append(computed))
    return engine, reports, stored


def test_what_a_lost_worker_reported_of_smaller_runs_is_not_stored() -> None:
    end = Computed("whole", 1.0, {})  # type: ignore[arg-type]
    engine, reports, stored = scripted(
        [
            [News(children=(CHILDREN[0],)), WorkerLost("killed")],
            [News(children=(CHILDREN[1],)), News(outcome=end)],
        ]
    )
    assert engine.compute(count(), NO_MODEL, reports, CancelToken()) is end
    assert stored == [CHILDREN[1][0]]


@pytest.mark.parametrize("error", [Cancelled("cancelled"), UserError("a wrong value")])
def test_smaller_runs_that_ended_before_a_run_was_stopped_are_stored(error: Exception) -> None:
    engine, reports, stored = scripted([[News(children=(CHILDREN[0],)), News(outcome=error)]])
    with pytest.raises(type(error)):
        engine.compute(count(), NO_MODEL, reports, CancelToken())
    assert stored == [CHILDREN[0][0]]
