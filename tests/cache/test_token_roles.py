"""Why a token is held, against what the run wrote down and what the engine protects."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.trace.conftest import letters, twins
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.token_roles import KINDS, NUMBER, kinds, protected
from tokenarium.backend.runs.events import CancelToken

__all__ = ["letters", "twins"]

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
BUDGET, LAYER = 24, 1


@pytest.fixture(scope="module")
def found() -> dict[str, CacheResult]:
    return {}


def ran(
    slug: str, twins: Callable[..., Any], letters: Callable[[int], str], **more: Any
) -> CacheResult:
    loaded, _ = twins("llama")
    request = CacheRequest(
        model="m",
        text=letters(60),
        policies=(PolicySpec(slug, **more),),
        budget=BUDGET,
        max_new_tokens=10,
        oracle=False,
    )
    return follow_policies(request, loaded, 2048, lambda _: None, CancelToken())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
def test_what_is_protected_is_what_the_engine_protects(
    policy: type[Policy], twins: Callable[..., Any]
) -> None:
    loaded, _ = twins("llama")
    sequence = CachedSequence(loaded, policy(), 40)
    sequence.read(list(range(2, 62)))
    layers = len(loaded.layers)
    told = [
        sequence.policy.protects(cache.budget, cache.layer, cache.prompt)
        for cache in sequence.layers
    ]
    own = [protected(policy(), 40, layers, layer, 60) for layer in range(layers)]
    if policy.label != "nothing":
        assert [(each.first, each.newest) for each in own] == told


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
def test_every_token_is_one_kind_and_evicted_ones_are_the_runs(
    policy: type[Policy], twins: Callable[..., Any], letters: Callable[[int], str]
) -> None:
    (run,) = ran(policy.slug, twins, letters).runs
    own = protected(policy(), BUDGET, 3, LAYER, 61)
    cells = kinds(run, own, LAYER, 0)
    for step in range(run.steps):
        row, kept = cells[step], run.kept(step, LAYER, 0)
        assert np.flatnonzero(row > NUMBER["evicted"]).tolist() == kept.tolist()
        assert (row[61 + step :] == -1).all()
        selected = run.selected(step, LAYER, 0)
        if selected is not None:
            assert np.flatnonzero(row > NUMBER["kept"]).tolist() == selected.tolist()


def test_names_by_policy(twins: Callable[..., Any], letters: Callable[[int], str]) -> None:
    expected = {
        "full": {"kept"},
        "random": {"kept", "evicted", "recent"},
        "recent": {"recent", "evicted"},
        "streaming_llm": {"sink", "recent", "evicted"},
        "h2o": {"heavy", "recent", "evicted"},
        "sirllm": {"sink", "heavy", "recent", "evicted"},
        "token_select": {"kept", "sink", "recent", "selected"},
    }
    for slug, names in expected.items():
        (run,) = ran(slug, twins, letters).runs
        own = protected(Policy.registry.find(slug)(), BUDGET, 3, LAYER, 61)
        last = kinds(run, own, LAYER, 0)[-1]
        assert {KINDS[number].slug for number in last if number >= 0} == names, slug


def test_sinks_are_the_first_and_recent_the_newest(
    twins: Callable[..., Any], letters: Callable[[int], str]
) -> None:
    (run,) = ran("streaming_llm", twins, letters, sink=3).runs
    own = protected(Policy.registry.find("streaming_llm")(sink=3), BUDGET, 3, LAYER, 61)
    last = kinds(run, own, LAYER, 0)[-1]
    assert np.flatnonzero(last == NUMBER["sink"]).tolist() == [0, 1, 2]
    end = 61 + run.steps - 1
    newest = list(range(end - (BUDGET - 3), end))
    assert np.flatnonzero(last == NUMBER["recent"]).tolist() == newest


def test_no_more_tokens_are_recent_than_the_window(
    twins: Callable[..., Any], letters: Callable[[int], str]
) -> None:
    result = ran("h2o", twins, letters, recent_share=0.25)
    gone = np.full_like(result.evicted_at, -1)
    gone[..., 3] = 0  # the neighbours of the window are held too
    (run,) = replace(result, evicted_at=gone).runs
    own = protected(Policy.registry.find("h2o")(recent_share=0.25), BUDGET, 3, LAYER, 61)
    assert own.newest == BUDGET // 4
    for step, row in enumerate(kinds(run, own, LAYER, 0)):
        recent = np.flatnonzero(row == NUMBER["recent"])
        assert recent.tolist() == list(range(61 + step - own.newest, 61 + step))


def test_nothing_is_chosen_while_everything_fits(
    twins: Callable[..., Any], letters: Callable[[int], str]
) -> None:
    loaded, _ = twins("llama")
    request = CacheRequest(
        model="m", text=letters(20), policies=("h2o",), budget=28, max_new_tokens=12, oracle=False
    )
    result = follow_policies(request, loaded, 2048, lambda _: None, CancelToken())
    (run,) = result.runs
    cells = kinds(run, protected(Policy.registry.find("h2o")(), 28, 3, LAYER, 21), LAYER, 0)
    first = int(run.evicted[0, 0])
    assert set(cells[first - 1].tolist()) == {-1, NUMBER["kept"]}
    assert NUMBER["heavy"] in cells[first]
