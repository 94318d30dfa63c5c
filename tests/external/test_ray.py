"""Runs computed by Ray's workers on this machine: numbers, Cancel, a worker killed, a sweep.

Ray is not among what the tests need: pip install 'tokenarium[scale]', then pytest -m external.
"""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.conftest import until
from tests.runs.test_workers import TIMES
from tokenarium.backend import (
    Cancelled,
    Finished,
    Lab,
    Progress,
    Settings,
    SweepRequest,
    TraceRequest,
)
from tokenarium.backend.runs.events import CancelToken, Partial
from tokenarium.backend.scale.engine import AGAIN

pytest.importorskip("ray", reason="Ray is not installed: pip install 'tokenarium[scale]'")
pytestmark = [pytest.mark.external, pytest.mark.timeout(300)]

MODEL = "bundled/target"
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
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert os.getsid(pid) != os.getsid(0)
        shared = Path(f"/proc/{pid}/autogroup")
        assert not shared.exists() or shared.read_text().split()[-1] == "19"
