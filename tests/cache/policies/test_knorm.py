"""Knorm against full matrices."""

import pytest
import torch

from tests.cache.policies.key_twin import KeyTwin
from tests.cache.policies.twin import check_same, holding, kept_live, view
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.policies.knorm import Knorm


def test_knorm_keeps_the_shortest_keys_after_the_prompt_and_after_every_step(twins):
    loaded, model = twins("llama")
    live = list(kept_live(loaded, Knorm(), 9))
    assert live == list(KeyTwin(model, 9, lambda keys, _: -keys.square().sum(-1)).run())
    assert any(heads[0] != heads[1] for step in live for heads in step)


def test_knorm_by_hand():
    cache = holding(4, 2)
    keys = torch.tensor([[3.0, 4, 0, 0], [1, 1, 1, 1], [0, 6, 0, 0], [0, 0, 0, 4.9]])[None]
    cache.entries = Entries(keys, keys, torch.arange(4))
    assert Knorm().scores(view(cache, Knorm()))[0].tolist() == [-5, -2, -6, pytest.approx(-4.9)]
    assert Knorm().kept(view(cache, Knorm()), 2).indices[0].tolist() == [1, 3]


def test_knorm_tells_apart_what_bfloat16_cannot():
    lengths = 1 + torch.arange(2000) / 20_000
    draw = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(2000, 64, generator=draw), dim=-1)
    keys = (lengths[:, None] * directions).bfloat16()[None]
    cache = holding(1, 1)
    cache.entries = Entries(keys, keys, torch.arange(2000))
    assert len(Knorm().scores(view(cache, Knorm())).unique()) > 1000


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    shortest = KeyTwin(model, 9, lambda keys, _: -keys.square().sum(-1))
    check_same(kept_live(loaded, Knorm(), 9), shortest.run())


def test_knorm_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
