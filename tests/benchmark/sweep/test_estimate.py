"""What the cost card tells of a sweep is what the sweep then does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.conftest import save_model
from tokenarium.backend import SweepRequest, SweepResult
from tokenarium.backend.benchmark.sweep.estimate import estimate
from tokenarium.backend.benchmark.sweep.runner import FINISHED, sweep
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cost.sketch import sketch
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken

PROMPTS = ("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG", "AND SLEEPS UNDER A TREE UNTIL NOON")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("estimate"), "llama")


def asked(**changes: Any) -> SweepRequest:
    values: dict[str, Any] = {
        "model": "local/m",
        "prompts": PROMPTS,
        "policies": ("h2o", "recent"),
        "budgets": (0.5, 0.25),
        "max_new_tokens": 5,
    }
    return SweepRequest(**(values | changes))


def ran(home: Path, request: SweepRequest) -> SweepResult:
    FINISHED.clear()
    loaded = load(ModelSource("local/m", home, None, "m"), "float32", "cpu", 128)
    return sweep(request, loaded, 128, lambda _: None, CancelToken())


def test_points_and_passes_are_those_of_the_sweep(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked()
    wanted = estimate(request, sketch("local/m", home), [])
    read, lengths = CachedSequence._forward, []

    def counted(self: CachedSequence, ids: list[int]) -> Any:
        lengths.append(len(ids))
        return read(self, ids)

    monkeypatch.setattr(CachedSequence, "_forward", counted)
    result = ran(home, request)
    assert wanted.points == len(result.policy) == result.points
    assert wanted.exercises == len(PROMPTS)
    assert wanted.prompt_tokens == max(lengths)
    alone = len(PROMPTS)  # full_reading reads outside of a sequence
    assert sum(length > 1 for length in lengths) + alone == wanted.prefill_passes


def test_bytes_are_between_the_points(home: Path) -> None:
    request = asked(prompts=PROMPTS[:1])
    wanted, result = estimate(request, sketch("local/m", home), []), ran(home, request)
    # The mean over the steps lies under the last one.
    assert 0.8 * wanted.largest_bytes <= result.cache_bytes.max() <= wanted.largest_bytes
    assert wanted.smallest_bytes == result.cache_bytes.min()


def test_time_is_told_from_sweeps_of_all_its_policies(home: Path) -> None:
    request = asked()
    done = ran(home, request)
    known = estimate(request, sketch("local/m", home), [done])
    assert known.total_ms is not None
    own = np.asarray(done.prefill_ms) + 5 * np.asarray(done.step_ms_p50)
    assert known.total_ms == pytest.approx(len(PROMPTS) * (own.sum() + own[0]), rel=0.25)
    more = estimate(asked(policies=("h2o", "tova")), sketch("local/m", home), [done])
    assert more.total_ms is None
    assert more.unknown == ("TOVA",)


def test_refusals_are_told_before(home: Path) -> None:
    request = asked(policies=("streaming_llm",), budgets=(0.5, 0.05))
    wanted = estimate(request, sketch("local/m", home), [])
    (reason,) = wanted.refused
    assert "raise budget to at least 5" in reason
