"""KVCrush: the base's best, and stand-ins by the distance of their bits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import best, eager_layers
from tests.cache.policies.given import choice
from tokenarium.backend.cache.policies.kvcrush import KVCrush

SCORES = [[9.0, 1, 8, 2, 7, 3, 6, 4], [1.0, 9, 8, 2, 3, 4, 6, 5]]
"""Means 5, 5, 8, 2, 5, 3.5, 6, 4.5; upper halves 0 2 4 6 and 1 2 6 7."""


@pytest.mark.parametrize(
    ("anchor", "stand_ins"),
    [
        # Bits of 1 3 4 5 7 by head: 01 00 10 00 01.
        ("zeros", [5, 4]),  # distances 1 0 1 0 1: order 3 5 1 4 7, places 1 and 3
        ("ones", [4, 3]),  # distances 1 2 1 2 1: order 1 4 7 3 5
        ("mean", [5, 4]),  # no bit is set in most: zeros
        ("alternating", [7, 5]),  # anchor 01, distances 0 1 2 1 0: order 1 7 3 5 4
    ],
)
def test_kvcrush_by_hand(anchor, stand_ins):
    # Five places: the best three by the mean are 2 6 0, then two stand-ins.
    found = choice(KVCrush(share=0.4, anchor=anchor), SCORES, 5)
    assert found == [sorted([2, 6, 0, *stand_ins])] * 2


def test_kvcrush_draws_its_anchor_by_the_seed():
    crush = KVCrush(share=0.4)
    found = [choice(crush, SCORES, 5, seed=seed) for seed in range(20)]
    assert found == [choice(crush, SCORES, 5, seed=seed) for seed in range(20)]
    fixed = [choice(KVCrush(share=0.4, anchor=own), SCORES, 5) for own in ("zeros", "ones")]
    assert all(own in found for own in fixed)


@given(st.integers(1, 29), st.integers(0, 3), st.integers(0, 5), st.floats(0, 0.99), st.data())
def test_kvcrush_fills_its_budget_and_keeps_what_is_protected(spare, sinks, newest, share, data):
    budget = min(29, sinks + newest + spare)
    level = st.integers(0, 6).map(float)
    scores = data.draw(st.lists(st.lists(level, min_size=30, max_size=30), min_size=2, max_size=2))
    found = choice(KVCrush(share=share), scores, budget, (sinks, newest))
    assert found[0] == found[1] == sorted(set(found[0]))
    assert len(found[0]) == budget
    assert {*range(sinks), *range(30 - newest, 30)} <= set(found[0])


def test_kvcrush_without_stand_ins_is_its_base_by_layer(tiny):
    pair = tiny()
    ids = pair.prompt(61)
    for own, layer in zip(
        kept(pair.under("kvcrush", 16, ids, base="knorm", share=0)),
        eager_layers(pair.eager, ids),
        strict=True,
    ):
        assert own == [best(-layer.keys.double().norm(dim=-1).mean(0), 16)] * 2


def test_kvcrush_with_stand_ins_over_eager_attention(tiny):
    pair, budget, window = tiny(), 16, 1
    ids = pair.prompt(61)
    sequence = pair.under("kvcrush", budget, ids, anchor="ones", share=0.5)
    for own, layer in zip(kept(sequence), eager_layers(pair.eager, ids), strict=True):
        votes = layer.attention[:, -window:, :-window].double().mean(1)
        pooled = torch.nn.functional.pad(votes, (2, 2)).unfold(1, 5, 1).mean(-1)
        scores = torch.nn.functional.pad(layer.grouped(pooled), (0, window))
        important = set(best(scores.mean(0), 8, always=torch.arange(61) >= 61 - window))
        upper = [set(best(head, 30)) for head in scores]
        rest = [i for i in range(61) if i not in important]
        rest.sort(key=lambda i: (sum(i not in head for head in upper), i))
        count = len(rest)
        stand_ins = {rest[int((place + 0.5) * count / 8)] for place in range(8)}
        assert own == [sorted(important | stand_ins)] * 2


@pytest.mark.parametrize("base", ["kvcrush", "adakv", "full", "sirllm", "nothing"])
def test_wrappers_refuse_what_gives_no_scores_of_a_prompt(base):
    with pytest.raises(ValueError, match=f"base='{base}' gives no scores of a prompt: choose"):
        KVCrush(base=base)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(61)
    found = kept(pair.under("kvcrush", 16, ids, base="knorm", share=0))
    for own, layer in zip(found, eager_layers(pair.eager, ids), strict=True):
        assert own == [best(-layer.keys.double().norm(dim=-1).mean(0), 16)] * 2


def test_kvcrush_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
