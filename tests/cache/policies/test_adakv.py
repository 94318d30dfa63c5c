"""Ada-KV: one ranking for all heads of a layer, and bytes that follow it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import eager_layers
from tests.cache.policies.given import choice
from tests.interventions import oracle
from tokenarium.backend.cache.policies.adakv import AdaKV


def ranked(scores: list[list[float]], budget: int, sure: int, newest: int) -> list[list[int]]:
    """Keep by drawing one (head, token) after another from a sorted list."""
    length = len(scores[0])
    window = set(range(length - newest, length))
    heads = [
        set(sorted(range(length), key=lambda i: (i not in window, -own[i], i))[:sure])
        for own in scores
    ]
    rest = [(-own[i], i, g) for g, own in enumerate(scores) for i in range(length)]
    for _, i, g in sorted(rest):
        if sum(map(len, heads)) == budget * len(scores):
            break
        heads[g].add(i)
    return [sorted(head) for head in heads]


@pytest.mark.parametrize(("floor", "window"), [(0.2, 4), (0.0, 1), (0.7, 4), (1.0, 4)])
def test_adakv_keeps_the_best_pairs_of_a_layer_after_every_heads_share(tiny, floor, window):
    pair, budget = tiny(), 20
    ids = pair.prompt(61)
    sequence = pair.under("adakv", budget, ids, floor=floor, base="knorm")
    sure = max(1, round(floor * budget))
    uneven = set()
    for own, layer in zip(kept(sequence), eager_layers(pair.eager, ids), strict=True):
        scores = (-layer.keys.double().norm(dim=-1)).tolist()
        assert own == ranked(scores, budget, sure, newest=0)
        uneven.add(len(own[0]) - len(own[1]))
    assert (uneven == {0}) == (floor == 1.0)


def test_adakv_over_snapkv_keeps_the_window_of_every_head(tiny):
    pair = tiny()
    ids = pair.prompt(61)
    sequence = pair.under("adakv", 20, ids, base_parameters={"window": 5})
    for own, layer in zip(kept(sequence), eager_layers(pair.eager, ids), strict=True):
        votes = layer.grouped(layer.attention[:, -5:, :-5].double().mean(1))
        padded = torch.nn.functional.pad(votes, (2, 2)).unfold(1, 5, 1).mean(-1)
        scores = [[*head, *[0.0] * 5] for head in padded.tolist()]
        # 15 places beyond the window, of which each head has three for sure.
        assert own == ranked(scores, 20, 5 + 3, newest=5)


@given(st.integers(5, 29), st.integers(0, 5), st.sampled_from([0.0, 0.2, 1.0]), st.data())
def test_adakv_with_equal_heads_equals_uniform(budget, newest, floor, data):
    levels = data.draw(st.lists(st.integers(0, 6).map(float), min_size=30, max_size=30))
    order = sorted(range(30), key=lambda i: (i < 30 - newest, -levels[i], i))
    found = choice(AdaKV(floor=floor), [levels] * 3, budget, (0, newest))
    assert found == [sorted(order[:budget])] * 3


def test_adakv_by_hand():
    # Six places in all: each head its best two, then 7 and 6 of the first head.
    scores = [[9.0, 8, 7, 6, 5, 0], [1.0, 0, 2, 0, 0, 0]]
    assert choice(AdaKV(floor=0.7), scores, 3) == [[0, 1, 2, 3], [0, 2]]
    assert choice(AdaKV(floor=0), scores, 3) == [[0, 1, 2, 3, 4], [2]]
    assert choice(AdaKV(floor=0), scores, 3, (1, 2)) == [[0, 4, 5], [0, 4, 5]]
    # Of four places a head the newest is sure, and half of the three beyond it: two.
    assert choice(AdaKV(floor=0.5), scores, 4, (0, 1)) == [[0, 1, 2, 3, 5], [0, 2, 5]]
    assert choice(AdaKV(floor=0), scores, 4, (0, 1)) == [[0, 1, 2, 3, 4, 5], [2, 5]]


def test_adakv_frees_bytes_for_what_each_head_dropped(tiny):
    pair, ids = tiny(), tiny().prompt(400)
    full = pair.under("full", 400, ids)
    sequence = pair.under("adakv", 40, ids, base="knorm", floor=0.1)
    assert any(not held.entries.even for held in sequence.layers)
    for held in sequence.layers:
        counts = held.entries.counts
        assert sum(counts) == 2 * 40
        # Keys and values of 8 numbers, position, length of the key; room for 8 more a head.
        one_entry = 2 * 8 * 4 + 2 * 4
        assert 0 <= held.entries.nbytes - sum(counts) * one_entry <= 2 * 8 * one_entry
    assert sequence.cache_bytes < full.cache_bytes / 4


def test_adakv_attends_over_uneven_heads_as_a_hidden_rest_would(tiny):
    pair, ids, steps = tiny(), tiny().prompt(61), [7, 8, 9]
    sequence = pair.under("adakv", 12, ids, base="knorm", steps=steps[:-1])
    logits = sequence.read(steps[-1:])
    assert any(not held.entries.even for held in sequence.layers)
    visible = [torch.ones(2, 64, 64).tril().bool() for _ in range(3)]
    for layer, heads in enumerate(kept(sequence)):
        for g, own in enumerate(heads):
            gone = sorted(set(range(61)) - set(own))
            visible[layer][g, 61:, gone] = False

    def hide(module, weights, q, k):
        weights = weights * visible[module.layer_idx].repeat_interleave(2, 0)
        return weights / weights.sum(-1, keepdim=True)

    expected = oracle.run(pair.eager, ids + steps, hide).log_p[-1]
    found = logits.double().log_softmax(-1)
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-4, rtol=0)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(61)
    layers = zip(
        kept(pair.under("adakv", 20, ids, base="knorm")), eager_layers(pair.eager, ids), strict=True
    )
    for own, layer in layers:
        scores = (-layer.keys.double().norm(dim=-1)).tolist()
        assert own == ranked(scores, 20, 4, newest=0)


def test_adakv_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
