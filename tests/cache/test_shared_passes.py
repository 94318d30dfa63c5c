"""A pass that was made for another reading gives what the model gives, bit by bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cache.asking import ask, run
from tests.families.building import build
from tokenarium.backend.cache import engine, full_model
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.shared_passes import ModelPass, SharedPasses
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

TIMES = {"prefill_ms", "step_ms"}
EVERY = sorted({policy.slug for policy in Policy.registry.all()} - {"full"})
MANY = [["full", *EVERY[start : start + 7]] for start in range(0, len(EVERY), 7)]
FAMILIES = ("gemma3_text", "gpt2", "bloom", "gemma4_text")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each pass that a model computes."""
    lengths: list[int] = []
    computed = engine.CachedSequence._computed

    def counted(self: Any, ids: list[int], recorder: Any) -> torch.Tensor:
        lengths.append(len(ids))
        return computed(self, ids, recorder)

    monkeypatch.setattr(engine.CachedSequence, "_computed", counted)
    return lengths


def different(found: CacheResult, expected: CacheResult) -> list[str]:
    """Return the names of what two runs do not have alike, times apart."""
    other = []
    for name, value in vars(expected).items():
        own = getattr(found, name)
        alike = own == value
        if isinstance(value, np.ndarray):
            alike = np.array_equal(own, value, equal_nan=value.dtype.kind == "f")
        if not alike and name not in TIMES:
            other.append(name)
    return other


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Sequences share nothing as long as it is not undone."""
    with monkeypatch.context() as patched:
        patched.setattr(engine.CachedSequence, "_begin_trail", lambda _: None)
        yield patched


@pytest.mark.parametrize("policies", MANY, ids=lambda policies: policies[1])
def test_runs_that_share_are_those_that_share_nothing(twins, letters, alone, policies) -> None:
    loaded, _ = twins("llama")
    request = ask(letters(40), policies=policies, budget=20, noise=False)
    expected = run(loaded, request)
    alone.undo()
    assert different(run(loaded, request), expected) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_share_as_well(tmp_path: Path, letters, alone, family) -> None:
    source = ModelSource("local/m", build(family, tmp_path), None, "m")
    loaded = load(source, "float32", "cpu", 999)
    request = ask(letters(40), policies=["full", "snapkv", "h2o"], budget=20)
    expected = run(loaded, request)
    alone.undo()
    assert different(run(loaded, request), expected) == []


def test_a_prompt_is_computed_once_in_a_run_and_anew_in_another(twins, letters, passes) -> None:
    loaded, _ = twins("llama")
    asked: dict[str, Any] = {"policies": ["recent", "h2o", "full"], "add_bos": False}
    for budget in (16, 19):
        run(loaded, ask(letters(60), **asked, budget=budget, max_new_tokens=9))
        assert (passes.count(60), passes.count(1)) == (1, 3 * 8), "one prompt, every policy's steps"
        passes.clear()
    alike = {"policies": ["full", "recent"], "budget": 100, "add_bos": False}
    found = run(loaded, ask(letters(60), **alike, max_new_tokens=9))
    assert found.text[0] == found.text[1]
    assert (passes.count(60), passes.count(8)) == (1, 1), "the full model has read that text"


def test_what_is_timed_is_not_taken_from_the_full_model_alongside(
    twins, letters, passes, monkeypatch
) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr(full_model, "TOGETHER", 1)
    run(loaded, ask(letters(60), policies=["full"], add_bos=False, max_new_tokens=9))
    assert (passes.count(60), passes.count(1)) == (1, 8 + 8), "each read every step by itself"


def test_what_reads_a_prompt_otherwise_shares_none(twins, letters, passes, monkeypatch) -> None:
    loaded, _ = twins("llama")
    asked: dict[str, Any] = {"max_new_tokens": 2, "oracle": False, "budget": 20, "add_bos": False}
    run(loaded, ask(letters(50), policies=["full"], **asked))
    monkeypatch.setattr(Policy.registry.find("recent"), "outputs", lambda *given: given[2] / 2)
    for policies in (["lm_infinite"], ["spatten"], ["recent"]):
        passes.clear()
        run(loaded, ask(letters(50), policies=policies, **asked))
        assert passes[0] == 50, policies
    passes.clear()
    run(loaded, ask(letters(50), policies=["full"], prompt_chunk=20, **asked))
    assert passes[:3] == [20, 20, 10]


def test_layers_with_states_share_none(tmp_path: Path, letters, passes) -> None:
    loaded = load(ModelSource("local/m", build("lfm2", tmp_path), None, "m"), "float32", "cpu", 999)
    asked: dict[str, Any] = {"max_new_tokens": 2, "oracle": False, "policies": ["full", "recent"]}
    run(loaded, ask(letters(30), add_bos=False, **asked))
    assert passes.count(30) >= 2


def test_times_count_the_pass_that_was_made(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    put = SharedPasses.put

    def slow(self: SharedPasses, key: bytes, made: ModelPass, nbytes: int) -> None:
        put(self, key, ModelPass(made.calls, made.hidden, 1e6), nbytes)

    monkeypatch.setattr(SharedPasses, "put", slow)
    found = run(
        loaded, ask(letters(60), add_bos=False, policies=["full", "recent"], max_new_tokens=3)
    )
    assert found.prefill_ms.min() > 1e6, "both read what the full model alongside had read"
    assert found.step_ms[:, 1:].max() < 1e6


def test_passes_take_no_more_than_their_bytes() -> None:
    def made(numbers: int) -> ModelPass:
        return ModelPass((), torch.zeros(numbers), 1.0)

    kept = SharedPasses(most_bytes=1_000)
    for number in range(3):
        kept.put(bytes([number]), made(100), 0)
        assert kept.find(b"\0") or number == 2
    assert kept.find(b"\2")
    assert kept._bytes == 800
    kept.put(b"large", made(10), 990)
    assert kept.find(b"large") is None
    kept.put(b"\2", made(50), 0)
    assert kept._bytes == 600
