"""Strategies under a cache policy and with interventions: a full budget changes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.contracts.test_strategies import models, run  # noqa: F401
from tokenarium.backend.decoding.request import DecodeRequest, InterventionSpec, StrategySpec
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.models.loaded import LoadedModel

ABLE = [
    kind
    for kind in Strategy.registry.all()
    if not (kind.branches or kind.watches or kind.embeds)
    and kind.__module__.startswith("tokenarium.backend.")
]
Models = Callable[[str], LoadedModel]


@pytest.mark.parametrize("strategy", ABLE, ids=lambda strategy: strategy.slug)
def test_a_budget_that_holds_everything_writes_the_same(
    strategy: type[Strategy],
    models: Models,  # noqa: F811
) -> None:
    spec = StrategySpec(slug=strategy.slug)
    plain = run(models("llama"), spec, max_new_tokens=6)
    under = run(models("llama"), spec, max_new_tokens=6, policy="snapkv", budget=200)
    assert under.lanes[0].token_ids.tolist() == plain.lanes[0].token_ids.tolist()
    assert under.lanes[1].token_ids.tolist() == plain.lanes[-1].token_ids.tolist()
    np.testing.assert_allclose(under.lanes[1].entropy_nats, plain.lanes[-1].entropy_nats, atol=1e-4)
    assert under.lanes[1].passes == plain.lanes[-1].passes


def test_a_small_budget_is_that_of_the_cache_page(models: Models) -> None:  # noqa: F811
    from tokenarium.backend.cache.request import CacheRequest
    from tokenarium.backend.cache.runner import follow_policies
    from tokenarium.backend.runs.events import CancelToken

    loaded = models("llama")
    asked = {"model": "local/tiny", "text": "a heron stood in the reeds, a heron stood"}
    asked |= {"budget": 8, "max_new_tokens": 10}
    under = run(loaded, StrategySpec(slug="greedy"), policy="recent", budget=8)
    cache = follow_policies(
        CacheRequest(**asked, policies=["recent"], oracle=False, noise=False),
        loaded, 100, lambda _: None, CancelToken(),
    )  # fmt: skip
    wanted = cache.token_ids[0][cache.token_ids[0] >= 0]
    assert under.lanes[1].token_ids.tolist() == wanted.tolist()
    assert under.lanes[1].token_ids.tolist() != under.lanes[0].token_ids.tolist()
    assert any("8 tokens per head" in note for note in under.notes)
    assert (under.lanes[0].title, under.lanes[1].title) == ("Greedy", "Greedy under Recent only")


FEW = StrategySpec("adadec", threshold=0.5, candidates=2, look_ahead=1)


@pytest.mark.parametrize("spec", [StrategySpec("greedy"), FEW], ids=lambda spec: spec.slug)
def test_every_pass_with_an_intervention_is_a_fresh_changed_one(
    spec: StrategySpec,
    models: Models,  # noqa: F811
) -> None:
    loaded = models("llama")
    change = InterventionSpec("zero_head", layer=0, head=0)
    lane = run(loaded, spec, interventions=[change], max_new_tokens=5).lanes[1]
    plain = run(loaded, spec, max_new_tokens=5).lanes[-1]
    assert lane.token_ids.tolist() != plain.token_ids.tolist()
    attention: Any = loaded.layers[0].self_attn
    size = attention.head_dim
    kept = attention.o_proj.weight.data.clone()
    attention.o_proj.weight.data[:, :size] = 0  # the output of the first head goes nowhere
    try:
        wanted = run(loaded, spec, max_new_tokens=5).lanes[-1]
    finally:
        attention.o_proj.weight.data.copy_(kept)
    assert lane.token_ids.tolist() == wanted.token_ids.tolist()
    np.testing.assert_allclose(lane.entropy_nats, wanted.entropy_nats, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategies": ["beam"], "policy": "snapkv"}, "'beam' tries tokens and goes back"),
        ({"strategies": ["layer_contrast"], "policy": "snapkv"}, "looks at layers"),
        ({"strategies": ["soft_tokens"], "interventions": ["swap_first"]}, "mixtures"),
        ({"policy": "snapkv", "interventions": ["swap_first"]}, "leave out one of the two"),
        ({"strategies": ["greedy"] * 4, "policy": "snapkv"}, "at most 3"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DecodeRequest(model="local/tiny", text="a", **fields)
