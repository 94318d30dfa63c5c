"""Runs computed by workers: the same numbers and events, Cancel, a worker that ends, parts."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.fake_workers import FakeCluster, FakeWorker
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.environment import StartUpError
from tokenarium.backend.errors import UserError
from tokenarium.backend.head_corpus.command import measure_heads
from tokenarium.backend.head_corpus.corpus import read
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
from tokenarium.backend.scale import ray_workers
from tokenarium.backend.scale.engine import AGAIN, PartMemo, WorkersEngine
from tokenarium.backend.scale.replicas import Bounds, Replicas
from tokenarium.backend.scale.worker import News, WorkerLost
from tokenarium.backend.settings import Settings
from tokenarium.backend.text_audit.command import audit_files
from tokenarium.backend.trace.request import TraceRequest

TIMES = ("prefill_ms", "step_ms_p50", "step_ms_p90")
SWEEP = SweepRequest(
    model=MODEL,
    prompts=("Once upon a time",),
    policies=("recent", "streaming_llm"),
    budgets=(0.75,),
    max_new_tokens=2,
)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster()
    monkeypatch.setattr(ray_workers, "workers_on_ray", made.engine)
    return made


@pytest.fixture
def lab(cluster: FakeCluster, make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(cold=True, engine="ray")


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


def test_a_sweep_in_parts_equals_one_in_a_piece_and_goes_on_where_it_stopped(
    lab: Lab, make_lab: Callable[..., Lab], cluster: FakeCluster
) -> None:
    stop, points = CancelToken(), []

    def stop_after_two(event: object) -> None:
        if isinstance(event, Partial):
            points.append(len(event.result.policy))
            if points[-1] >= 2:
                stop.cancel()

    with pytest.raises(Cancelled):
        any(map(stop_after_two, lab.stream(SWEEP, cancel=stop)))
    until(lambda: not lab.running())
    before = sum(len(worker.begun) for worker in cluster.workers)
    run = lab.run(SWEEP)
    begun = sum(len(worker.begun) for worker in cluster.workers)
    assert run.result.finished
    assert begun - before <= 3 - points[-1], "what was measured before is not measured again"
    here = make_lab(database="duckdb:///:memory:").run(SWEEP)
    for name, array in here.result.arrays().items():
        if name not in TIMES:
            np.testing.assert_array_equal(run.result.arrays()[name], array, err_msg=name)
    assert run.result.verdict == here.result.verdict
    listed = [each for each in lab.search() if each.kind == "point"]
    assert len(listed) == 3, "each point's first exercise is a run of its own, once"


def test_a_sweep_that_no_policy_can_do_says_why(lab: Lab) -> None:
    with pytest.raises(UserError, match="budget"):
        lab.run(SWEEP.model_copy(update={"budgets": (0.01,)}))


def lend(replicas: Replicas, name: str, places: list[int] | None = None) -> object:
    return replicas.lend(name, lambda: None, (places if places is not None else []).append)


class Started:
    """What ``Replicas`` starts: a name that may be ended."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.ended: list[str] = []

    def __call__(self, name: str) -> object:
        self.names.append(name)
        outer = self

        class Named:
            def end(self) -> None:
                outer.ended.append(name)

        return Named()


def test_workers_are_kept_to_their_bounds_and_make_room() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=2, least_each=0, most_each=2, idle_s=60))  # type: ignore[arg-type]
    with lend(replicas, "a"), lend(replicas, "b"):
        assert replicas.count() == 2
    with lend(replicas, "a"):
        assert started.names == ["a", "b"], "one that is free is taken again"
        with lend(replicas, "c"):
            assert started.ended == ["b"], "what was idle makes room"
    got, places = threading.Event(), []

    def wait() -> None:
        with lend(replicas, "d", places):
            got.set()

    with lend(replicas, "a"), lend(replicas, "c"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: places == [1])
        late = threading.Event()
        threading.Thread(target=lambda: lend(replicas, "a").__enter__() and late.set()).start()
        assert not got.wait(0.1)
    assert got.wait(5)
    waiting.join()
    until(late.is_set)
    replicas.close()
    assert sorted(started.ended) == sorted(started.names)


def test_a_model_with_all_its_workers_keeps_no_other_waiting() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=3, least_each=0, most_each=1, idle_s=60))  # type: ignore[arg-type]
    places: list[int] = []

    def wait() -> None:
        with lend(replicas, "a", places):
            pass

    waiting = threading.Thread(target=wait)
    with lend(replicas, "a"):
        waiting.start()
        until(lambda: places == [1])
        with lend(replicas, "b"):
            assert started.names == ["a", "b"]
    waiting.join(5)
    assert started.names == ["a", "b"]


def test_idle_workers_end_but_for_the_least() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=4, least_each=1, most_each=2, idle_s=0.05))  # type: ignore[arg-type]
    with lend(replicas, "a"), lend(replicas, "a"):
        pass
    until(lambda: replicas.count("a") == 1)
    assert started.ended == ["a"]


def test_a_worker_that_cannot_start_leaves_no_place_taken() -> None:
    def fail(name: str) -> FakeWorker:
        raise RuntimeError(name)

    replicas = Replicas(fail, Bounds(most=1, least_each=0, most_each=1, idle_s=60))
    for _ in range(2):
        with pytest.raises(RuntimeError), lend(replicas, "a"):
            pass
    assert replicas.count() == 0


def test_without_ray_the_program_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, make_lab: Callable[..., Lab]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(StartUpError, match=r"tokenarium\[scale\].*--engine local"):
        make_lab(engine="ray")


def test_what_a_lost_worker_reported_of_smaller_runs_is_not_stored() -> None:
    children = [(Computed(number, 1.0, {}), count(str(number))) for number in range(2)]  # type: ignore[arg-type]
    end = Computed("whole", 1.0, {})  # type: ignore[arg-type]
    scripts = [
        [News(children=(children[0],)), WorkerLost("killed")],
        [News(children=(children[1],)), News(outcome=end)],
    ]

    class Scripted(FakeWorker):
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

    bounds = Bounds(most=1, least_each=0, most_each=1, idle_s=60)
    replicas = Replicas(lambda name: Scripted(scripts.pop(0)), bounds)
    engine = WorkersEngine(Settings(), None, replicas, lambda source: None, PartMemo())  # type: ignore[arg-type]
    stored: list[object] = []
    reports = Reports(lambda event: None, lambda computed, asked: stored.append(computed))
    assert engine.compute(count(), NO_MODEL, reports, CancelToken()) is end
    assert stored == [children[1][0]]


def work(cluster: FakeCluster) -> int:
    return sum(len(worker.begun) for worker in cluster.workers)


def test_heads_over_a_corpus_are_measured_text_by_text_and_go_on(
    lab: Lab, make_lab: Callable[..., Lab], cluster: FakeCluster, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"a cat {word} a cat" for word in ("saw", "is", "was", "bit", "or")))
    stop, there = CancelToken(), tmp_path / "there"

    def after_two(event: object) -> None:
        if isinstance(event, Progress) and event.done >= 2:
            stop.cancel()

    with pytest.raises(Cancelled):
        measure_heads(lab, MODEL, texts, there, after_two, stop)
    before = work(cluster)
    assert (there / "partial.npz").exists()
    lab._executor._engine.memo = PartMemo()  # what was done is known from the file alone
    measure_heads(lab, MODEL, texts, there)
    assert 1 <= work(cluster) - before <= 3
    assert not (there / "partial.npz").exists()
    here = make_lab(database="duckdb:///:memory:")
    measure_heads(here, MODEL, texts, tmp_path / "here")
    found, expected = read(there), read(tmp_path / "here")
    assert found is not None
    assert expected is not None
    assert found.about == expected.about
    for name in ("mean", "deviation", "quantiles", "count", "strongest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_texts_of_several_files_are_audited_by_all_workers(
    lab: Lab,
    make_lab: Callable[..., Lab],
    cluster: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both, begin = threading.Event(), FakeWorker.begin

    def begin_together(worker: FakeWorker, *given: Any) -> None:
        assert both.wait(60), "no second worker was started while the first had work"
        begin(worker, *given)

    monkeypatch.setattr(FakeWorker, "begin", begin_together)
    cluster.on_start = lambda _: both.set() if len(cluster.workers) == 2 else None
    files = []
    for name, ids in (("first", ([5, 6, 7], [8, 9, 10])), ("second", ([11, 12], [10**6]))):
        files.append(tmp_path / f"{name}.jsonl")
        lines = [{"prompt": "ab", "model": MODEL, "token_ids": each} for each in ids]
        files[-1].write_text("\n".join(map(json.dumps, lines)))
    said: list[Progress] = []
    found = audit_files(lab, files, "", "float32", said.append)  # type: ignore[arg-type]
    assert len(cluster.workers) == 2, "the texts went to both"
    assert said[-1].done == said[-1].total == 4
    here = make_lab(database="duckdb:///:memory:")
    expected = audit_files(here, files, "", "float32", lambda _: None)
    assert found.lines == expected.lines
    assert [line.partition(": ")[0] for line in found.lines] == [
        f"{file}, line {number}" for file in files for number in (1, 2)
    ]
    assert found.status == expected.status == 1
    before = work(cluster)
    assert audit_files(lab, files, "", "float32", lambda _: None).lines == found.lines
    assert work(cluster) == before + 1, "what was judged is in the store; one cannot be read"


def test_a_part_whose_worker_ends_is_computed_once_more_and_the_rest_goes_on(
    lab: Lab, cluster: FakeCluster, tmp_path: Path
) -> None:
    def end_first(worker: FakeWorker) -> None:
        if len(cluster.workers) == 1:
            worker.killed.set()

    cluster.on_start = end_first
    texts = tmp_path / "texts.txt"
    texts.write_text("a cat saw a cat\nan owl saw an owl")
    said: list[str] = []
    measure_heads(lab, MODEL, texts, tmp_path, lambda event: said.append(str(event)))
    assert any(AGAIN in each for each in said)
    assert read(tmp_path).about.texts == tuple(texts.read_text().split("\n"))  # type: ignore[union-attr]
