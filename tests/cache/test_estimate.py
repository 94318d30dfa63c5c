"""What the cost card tells is what a run then does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.conftest import save_model
from tokenarium.backend import CacheRequest, CacheResult, PolicySpec
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.estimate import CacheEstimate, estimate
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cost.sketch import sketch
from tokenarium.backend.cost.time import Measured, pace
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken

TEXT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND SLEEPS"

KNOWN_BEFORE = ("head_roles", "razor_attention", "spatten", "token_merge", "minicache")
"""Policies whose heads or layers hold different numbers that the text does not change."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("estimate"), "llama")


@pytest.fixture(scope="module")
def loaded(home: Path) -> LoadedModel:
    return load(ModelSource("local/m", home, None, "m"), "float32", "cpu", 2048)


def asked(**changes: Any) -> CacheRequest:
    values: dict[str, Any] = {
        "model": "local/m",
        "text": TEXT,
        "policies": ("full", "h2o", PolicySpec("streaming_llm", sink=2)),
        "budget": 0.4,
        "budget_unit": "ratio",
        "max_new_tokens": 20,
    }
    return CacheRequest(**(values | changes))


def told(home: Path, request: CacheRequest, limit: int = 128) -> CacheEstimate:
    return estimate(request, sketch("local/m", home), limit, torch.device("cpu"))


def ran(loaded: LoadedModel, request: CacheRequest) -> CacheResult:
    return follow_policies(request, loaded, 128, lambda _: None, CancelToken())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"budget": 18, "budget_unit": "tokens", "oracle": False},
        {"budget": 0.01, "budget_unit": "megabytes"},
        {"add_bos": False, "budget": 0.5},
        {"continuation": "AND DREAMS OF FOXES"},
        {"policies": ("full", *KNOWN_BEFORE), "budget": 30, "budget_unit": "tokens"},
        {"prompt_chunk": 7},
        {"policies": ("full", "infllm", "snapkv"), "prompt_chunk": 9, "oracle": False},
    ],
)
def test_tokens_budget_bytes_are_the_runs(
    home: Path, loaded: LoadedModel, changes: dict[str, Any]
) -> None:
    request = asked(**changes)
    wanted, result = told(home, request), ran(loaded, request)
    assert wanted.prompt_tokens == len(result.prompt_ids)
    assert wanted.budget_tokens == result.budget_tokens
    for cost, run in zip(wanted.policies, result.runs, strict=True):
        assert run.steps == wanted.new_tokens
        assert cost.exact
        assert (cost.prompt_bytes, cost.end_bytes) == (run.cache_bytes[0], run.cache_bytes[-1])
    assert wanted.full_bytes == result.cache_bytes[0, -1]


@pytest.mark.parametrize("oracle", [True, False])
def test_passes_are_those_of_the_model(
    home: Path, loaded: LoadedModel, oracle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    read = CachedSequence._read_together

    def counted(self: CachedSequence, ids: list[int]) -> torch.Tensor:
        lengths.append(len(ids))
        return read(self, ids)

    request = asked(oracle=oracle)
    wanted = told(home, request)
    monkeypatch.setattr(CachedSequence, "_read_together", counted)
    ran(loaded, request)
    assert lengths.count(wanted.prompt_tokens) == wanted.prefill_passes
    assert len(lengths) == wanted.prefill_passes + wanted.decode_passes + wanted.full_passes
    lengths.clear()
    request = asked(oracle=oracle, prompt_chunk=20, max_new_tokens=2)
    wanted = told(home, request)
    assert (wanted.prompt_parts, wanted.prefill_passes) == (3, 9 + oracle)
    ran(loaded, request)
    assert len(lengths) == wanted.prefill_passes + wanted.decode_passes + wanted.full_passes


def test_what_the_run_refuses_is_refused_before(home: Path) -> None:
    with pytest.raises(ValueError, match="raise budget to at least 3"):
        told(home, asked(budget=2, budget_unit="tokens"))
    with pytest.raises(ValueError, match="the limit is 10"):
        told(home, asked(), limit=10)
    assert told(home, asked(overflow="keep_end", budget=6, budget_unit="tokens"), 10)


def test_time_is_told_from_runs_and_unknown_without(home: Path, loaded: LoadedModel) -> None:
    request = asked()
    wanted, result = told(home, request), ran(loaded, request)
    steps, prompt = wanted.new_tokens, wanted.prompt_tokens
    known = replace(
        result,
        prefill_ms=np.full(3, 10, np.float32),
        step_ms=np.full((3, steps), 2, np.float32),
    )
    own = 3 * (10 + 2 * steps)
    run = Measured(known, own + 50.0, oracle=True)
    again = pace(request, wanted, [run])
    assert again.total_ms == pytest.approx(3 * (10 + 2 * (steps - 1)) + 50)
    double = replace(wanted, prompt_tokens=2 * prompt, new_tokens=2 * steps)
    rest = 50 * 2
    assert pace(request, double, [run]).total_ms == pytest.approx(
        3 * (20 + 2 * (2 * steps - 1)) + rest
    )
    assert pace(request, wanted, []).total_ms is None
    assert pace(request, wanted, [replace(run, oracle=False)]).unknown == (
        "the full model alongside",
    )
    other = asked(policies=("full", "tova"))
    assert pace(other, told(home, other), [run]).unknown == ("TOVA",)
