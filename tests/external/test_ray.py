"""Runs computed by Ray's workers on this machine: numbers, Cancel, a worker killed, a sweep.

Ray is not among what the tests need: pip install 'tokenarium[scale]', then pytest -m external.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.grid import GridParts, Plan, kept
from tests.benchmarks.grid_table import Measured
from tests.contracts.test_endpoints import ASKED, KINDS
from tests.families.parts import FamiliesRequest, FamilyParts
from tests.runs.conftest import until
from tests.runs.workers.test_parts import TIMES
from tokenarium.backend import (
    Cancelled,
    Finished,
    Kind,
    Lab,
    ModelRequest,
    Progress,
    Result,
    Settings,
    SweepRequest,
    TraceRequest,
)
from tokenarium.backend.head_corpus.command import measure_heads
from tokenarium.backend.head_corpus.corpus import read
from tokenarium.backend.runs.events import CancelToken, Partial
from tokenarium.backend.scale.engine import AGAIN

pytest.importorskip("ray", reason="Ray is not installed: pip install 'tokenarium[scale]'")
pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

MODEL = "bundled/target"
QUICK = {"follow", "heartbeat", "region", "tokenize"}
"""Endpoints that say nothing before their end, or may have ended before they hear of Cancel."""
LONG = TraceRequest(model=MODEL, text="a word " * 4_000, overflow="exceed")


def settings(folder: Path, name: str, **more: Any) -> Settings:
    values = {"database": f"duckdb:///{folder}/{name}.duckdb", "device": "cpu", "fetch": False}
    return Settings(**values, **more)


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    """One that computes by two workers, and one that computes here."""
    folder = tmp_path_factory.mktemp("ray")
    with Lab(settings(folder, "ray", engine="ray")) as there, Lab(settings(folder, "here")) as here:
        yield there, here


def worker_pids(lab: Lab) -> list[int]:
    import ray

    replicas = lab._executor._engine._replicas._replicas
    calls = [r.worker._actor.__ray_call__.remote(lambda self: os.getpid()) for r in replicas]
    return ray.get(calls)


def test_numbers_are_those_of_this_process_to_the_last_bit(labs: tuple[Lab, Lab]) -> None:
    there, here = labs
    for text in ("Once upon a time", "Zwei Dinge erfüllen das Gemüt, " * 40):
        asked = TraceRequest(model=MODEL, text=text)
        run = there.run(asked)
        expected = here.run(asked)
        assert run.environment["threads"] == expected.environment["threads"]
        for name, array in expected.result.arrays().items():
            np.testing.assert_array_equal(run.result.arrays()[name], array, err_msg=name)


def test_cancel_stops_a_worker_within_a_layer(labs: tuple[Lab, Lab]) -> None:
    there, _ = labs
    stop = CancelToken()

    def stop_when_reading(event: object) -> None:
        if isinstance(event, Progress) and event.done:
            stop.cancel()

    with pytest.raises(Cancelled):
        any(map(stop_when_reading, there.stream(LONG, cancel=stop)))
    until(lambda: not there.running(), 20)
    assert there.run(TraceRequest(model=MODEL, text="It is free again")).result.length


def test_a_killed_worker_is_replaced_and_the_run_computed_once(labs: tuple[Lab, Lab]) -> None:
    there, _ = labs
    before = len(there.search())
    said: list[str] = []
    killed = threading.Event()
    for event in there.stream(LONG):
        if isinstance(event, Progress):
            said.append(event.doing)
            if event.done and not killed.is_set():
                killed.set()
                for pid in worker_pids(there):
                    os.kill(pid, signal.SIGKILL)
    assert isinstance(event, Finished)
    assert any(AGAIN in doing for doing in said)
    assert len(there.search()) == before + 1


def test_a_sweep_is_measured_point_by_point_and_goes_on(labs: tuple[Lab, Lab]) -> None:
    there, here = labs
    asked = SweepRequest(
        model=MODEL,
        prompts=("Once upon a time there was a fox who lived in a wood.",),
        policies=("recent", "streaming_llm"),
        budgets=(0.75, 0.5),
        max_new_tokens=8,
    )
    stop, points = CancelToken(), []

    def stop_at_a_point(event: object) -> None:
        if isinstance(event, Partial):
            points.append(len(event.result.policy))
            stop.cancel()

    with pytest.raises(Cancelled):
        any(map(stop_at_a_point, there.stream(asked, cancel=stop)))
    until(lambda: not there.running(), 20)
    assert points[-1] >= 1
    run, expected = there.run(asked), here.run(asked)
    for name, array in expected.result.arrays().items():
        if name not in TIMES:
            np.testing.assert_array_equal(run.result.arrays()[name], array, err_msg=name)


def test_workers_stand_back_for_the_program_that_answers(labs: tuple[Lab, Lab]) -> None:
    there, _ = labs
    there.run(TraceRequest(model=MODEL, text="Who goes first?"))
    for pid in worker_pids(there):
        assert os.getpriority(os.PRIO_PROCESS, pid) >= 5
        shared = Path(f"/proc/{pid}/autogroup")
        if os.getsid(pid) != os.getsid(0) and shared.exists():
            assert shared.read_text().split()[-1] == "5"


def timed(name: str) -> bool:
    return name in TIMES or "_ms" in name or "seconds" in name or "per_s" in name


def plain(result: Result) -> dict[str, Any]:
    """Return all numbers and texts of a result by name, bit for bit, but for times."""
    found: dict[str, Any] = {}
    for name, array in result.arrays().items():
        columns = array.dtype.names or ()
        for column in columns or ("",):
            part = array[column] if column else array
            found[f"{name}.{column}"] = (part.dtype.str, part.shape, part.tobytes())
    found |= {name: json.dumps(value, default=str) for name, value in result.facts().items()}
    return {name: value for name, value in found.items() if not timed(name)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.endpoint)
def test_every_kind_crosses_over_with_the_same_numbers(kind: Kind, labs: tuple[Lab, Lab]) -> None:
    there, here = labs
    asked = Lab.request(kind.request, **ASKED[kind.endpoint], model=MODEL)
    events = list(there.stream(asked))
    found, expected = plain(events[-1].run.result), plain(here.run(asked).result)
    assert found.keys() == expected.keys()
    assert not [name for name, value in expected.items() if found[name] != value]
    if asked.reads_model and kind.endpoint not in QUICK:
        assert any(isinstance(event, Progress) for event in events), "how far it is crosses over"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.endpoint)
def test_every_kind_is_cancelled_there_and_stores_nothing(
    kind: Kind, labs: tuple[Lab, Lab]
) -> None:
    there, _ = labs
    asked = Lab.request(kind.request, **ASKED[kind.endpoint], model=MODEL, seed=1)
    if not asked.reads_model:
        pytest.skip("it is computed in the program itself")
    before, stop = len(there.search(limit=1_000)), CancelToken()
    try:
        for event in there.stream(asked, cancel=stop):
            if isinstance(event, Progress | Partial):
                stop.cancel()
    except Cancelled:
        until(lambda: not there.running(), 20)
        stored = len(there.search(limit=1_000)) - before
        assert not stored or kind.endpoint in QUICK
    else:
        assert kind.endpoint in QUICK, "it ended before it was told"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.endpoint)
def test_every_kind_outlives_its_killed_worker_with_the_same_numbers(
    kind: Kind, labs: tuple[Lab, Lab]
) -> None:
    there, here = labs
    asked = Lab.request(kind.request, **ASKED[kind.endpoint], model=MODEL, seed=2)
    if not asked.reads_model:
        pytest.skip("it is computed in the program itself")
    there.run(TraceRequest(model=MODEL, text="So that a worker is there."))
    before, killed, said = len(there.search(limit=1_000)), [], []
    for event in there.stream(asked):
        if isinstance(event, Progress):
            said.append(event.doing)
        if isinstance(event, Progress | Partial) and not killed:
            killed = worker_pids(there)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    assert killed or kind.endpoint in QUICK
    assert any(AGAIN in doing for doing in said) or kind.endpoint in QUICK
    own = here.run(asked)
    found, expected = plain(event.run.result), plain(own.result)
    expected.pop("source", None)  # the smaller run that it was taken from has an id of its own
    assert not [name for name, value in expected.items() if found.get(name) != value]
    assert len(there.search(limit=1_000)) - before == _runs_of(here, asked)


def _runs_of(lab: Lab, asked: ModelRequest) -> int:
    """Return how many runs a request stores, with the smaller ones that it needs."""
    before = len(lab.search(limit=1_000))
    again = asked.model_copy(update={"seed": 3})
    lab.run(again)
    return len(lab.search(limit=1_000)) - before


def test_the_grid_is_measured_cell_by_cell_with_the_same_numbers(
    labs: tuple[Lab, Lab], tmp_path: Path
) -> None:
    plan = Plan(("full", "recent", "snapkv"), ("copying",), (0.5,), 48, 1)
    request = TraceRequest(model=MODEL, text="of no matter")
    found: list[dict[Any, Measured]] = [{}, {}]
    for lab, own, name in zip(labs, found, ("there", "here"), strict=True):
        file = tmp_path / name
        lab.in_parts(GridParts(plan, own, file, "model", lambda: None), request)
        assert kept(file, "model", 48) == own
    assert found[0] == found[1]
    assert len(found[0]) == 3
    again: dict[Any, Measured] = {**found[0]}
    del again["copying", "recent", 0.5, 0]
    labs[0].in_parts(GridParts(plan, again, tmp_path / "there", "model", lambda: None), request)
    assert again == found[0]


def test_families_are_measured_by_workers_that_fork_nothing(
    labs: tuple[Lab, Lab], tmp_path: Path
) -> None:
    found: dict[str, Any] = {"known": {"verdict": "loads", "why": ""}}
    parts = FamilyParts(("llama", "known", "bert"), found, "1", tmp_path / "families.jsonl")
    records = labs[0].in_parts(parts, FamiliesRequest(model="none"))
    assert [(name, each["verdict"]) for name, each in records.items()] == [
        ("llama", "loads"), ("known", "loads"), ("bert", "refused"),
    ]  # fmt: skip
    assert records["llama"]["trace"] < 1e-4
    assert len((tmp_path / "families.jsonl").read_text().splitlines()) == 3


def test_heads_over_a_corpus_outlive_a_killed_worker(labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"The {word} saw the {word}. " * 40 for word in ("cat", "owl")))
    killed: list[int] = []
    said: list[str] = []

    def kill(event: object) -> None:
        said.append(str(event))
        if isinstance(event, Progress) and event.done == 1 and not killed:
            killed.extend(worker_pids(labs[0])[:1])
            os.kill(killed[0], signal.SIGKILL)

    for lab, name in zip(labs, ("there", "here"), strict=True):
        measure_heads(lab, MODEL, texts, tmp_path / name, kill if name == "there" else said.append)  # type: ignore[arg-type]
    assert killed
    found, expected = read(tmp_path / "there"), read(tmp_path / "here")
    assert found is not None
    assert expected is not None
    assert found.about == expected.about
    np.testing.assert_array_equal(found.mean, expected.mean)
