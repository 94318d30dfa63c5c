"""What workers compute in parts: sweeps, heads over a corpus, texts of many files."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.fake_workers import FakeCluster, FakeWorker
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.head_corpus.command import measure_heads
from tokenarium.backend.head_corpus.corpus import read
from tokenarium.backend.runs.events import (
    Cancelled,
    CancelToken,
    Partial,
    Progress,
)
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.scale.engine import AGAIN, PartMemo
from tokenarium.backend.text_audit.command import audit_files

TIMES = ("prefill_ms", "step_ms_p50", "step_ms_p90")


SWEEP = SweepRequest(
    model=MODEL,
    prompts=("Once upon a time",),
    policies=("recent", "streaming_llm"),
    budgets=(0.75,),
    max_new_tokens=2,
)


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


def work(cluster: FakeCluster) -> int:
    return sum(len(worker.begun) for worker in cluster.workers)


def test_heads_over_a_corpus_are_measured_text_by_text_and_go_on(
    lab: Lab,
    make_lab: Callable[..., Lab],
    cluster: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"a cat {word} a cat" for word in ("saw", "is", "was", "bit", "or")))
    stop, there = CancelToken(), tmp_path / "there"
    begin = FakeWorker.begin

    def begin_two(worker: FakeWorker, *given: Any) -> None:
        if work(cluster) >= 2:  # the third is on its way as it is told to stop
            until(lambda: stop.cancelled, 60)
            stop.check()
        begin(worker, *given)

    monkeypatch.setattr(FakeWorker, "begin", begin_two)

    def after_two(event: object) -> None:
        if isinstance(event, Progress) and event.done >= 2:
            stop.cancel()

    with pytest.raises(Cancelled):
        measure_heads(lab, MODEL, texts, there, after_two, stop)
    before = work(cluster)
    monkeypatch.setattr(FakeWorker, "begin", begin)
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
