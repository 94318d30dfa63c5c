"""Computing while a GPU is lent, on a stand-in for the platform that pickles all that crosses."""

import pickle
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.runs.conftest import MODEL, until
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.engine import LocalEngine
from tokenarium.backend.runs.events import Cancelled, CancelToken, Finished, Progress
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.zero_gpu import lent_gpu
from tokenarium.backend.trace.request import TraceRequest


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """``spaces`` as on ZeroGPU: lends no GPU, and writes down for how long it was asked."""
    seen = SimpleNamespace(durations=[], calls=0, left=0)

    def gpu(duration: int) -> Callable[[Any], Any]:
        seen.durations.append(duration)

        def decorate(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def called(*given: Any) -> Iterator[Any]:
                seen.calls += 1
                there = function(*pickle.loads(pickle.dumps(given)))
                try:
                    for each in there:
                        yield pickle.loads(pickle.dumps(each))
                finally:
                    there.close()
                    seen.left += 1

            return called

        return decorate

    spaces, config = ModuleType("spaces"), ModuleType("spaces.config")
    spaces.GPU, config.Config = gpu, SimpleNamespace(zero_gpu=True)
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setitem(sys.modules, "spaces.config", config)
    seen.config = config.Config
    return seen


def test_a_run_is_the_same_and_is_told_alike_where_a_gpu_is_lent(
    platform: SimpleNamespace, make_lab: Callable[..., Lab]
) -> None:
    asked = TraceRequest(model=MODEL, text="Once upon a time")
    there = make_lab(hosted_max_seconds=30)
    events = list(there.stream(asked))
    assert platform.durations == [30]
    assert platform.calls == 1
    assert any(isinstance(event, Progress) for event in events)
    assert isinstance(events[-1], Finished)
    platform.config.zero_gpu = False
    here = make_lab(database="duckdb:///:memory:")
    assert isinstance(here._executor._engine, LocalEngine)
    expected = here.run(asked).result.arrays()
    for name, array in events[-1].run.result.arrays().items():
        np.testing.assert_array_equal(array, expected[name])
    with pytest.raises(UserError, match="tokens"):
        there.run(TraceRequest(model=MODEL, text="a" * 40_000))
    stopped = CancelToken()
    stream = there.stream(asked.model_copy(update={"text": "Again"}), cancel=stopped)
    next(stream)
    stopped.cancel()
    with pytest.raises(Cancelled):
        list(stream)
    until(lambda: not there.running())
    assert platform.left == platform.calls == 3, "a stopped run ends there, too"


def test_without_the_platform_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = object()
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert lent_gpu(engine, 5) is engine  # type: ignore[arg-type]
