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
from tokenarium.backend.models.names import NO_MODEL
from tokenarium.backend.runs.engine import LocalEngine, Reports
from tokenarium.backend.runs.events import Cancelled, CancelToken, Finished, Progress
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.zero_gpu import lent_gpu
from tokenarium.backend.trace.request import TraceRequest


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """``spaces`` as on ZeroGPU: lends no GPU, and writes down for how long it was asked."""
    seen = SimpleNamespace(durations=[], calls=0, left=0)

    def gpu(duration: Callable[..., int]) -> Callable[[Any], Any]:
        def decorate(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def called(*given: Any) -> Iterator[Any]:
                seen.calls += 1
                seen.durations.append(duration(*given))
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


def test_a_gpu_is_asked_for_as_long_as_the_run_is_expected_to_take(
    platform: SimpleNamespace, make_lab: Callable[..., Lab]
) -> None:
    lab = make_lab(hosted_max_seconds=100)
    asked = TraceRequest(model=MODEL, text="Once upon a time")
    lab.run(asked)
    assert platform.durations == [100], "nothing was known before the first"
    again = asked.model_copy(update={"text": "Once upon a day"})
    expected = lab.estimate(again)
    assert expected is not None
    assert expected.total_ms is not None
    lab.run(again)
    assert platform.durations[1] == round(10 + 2 * expected.total_ms / 1e3)

    class Ends:
        def compute(self, *given: object) -> object:
            raise UserError("at once")

    for known, wanted in ((20_000.0, 50), (1e6, 100)):
        lent = lent_gpu(Ends(), 100, lambda _, known=known: known)  # type: ignore[arg-type,misc]
        with pytest.raises(UserError, match="at once"):
            lent.compute(asked, NO_MODEL, Reports(print, print), CancelToken())
        assert platform.durations[-1] == wanted


def test_without_the_platform_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = object()
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert lent_gpu(engine, 5) is engine  # type: ignore[arg-type]
