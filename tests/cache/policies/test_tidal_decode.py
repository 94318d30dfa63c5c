"""TidalDecode against full matrices, by hand, and against the full cache."""

import pytest
import torch

from tests.cache.policies.selecting import agree, expected, highest, live
from tests.cache.policies.twin import TOKENS, holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.tidal_decode import TidalDecode


def inherited(budget, selecting, reselecting, join=torch.mean):
    """Two layers read everything and choose; the layers after each read what it chose."""
    chosen = {}

    def rule(layer, step, weights, q, k):
        held, queries = k.shape[1], q.shape[1]
        most = budget + queries - 1
        if layer in (selecting, reselecting):
            always = set(range(held - queries, held))
            own = weights.double().sum(1).unflatten(0, (len(k), -1))
            chosen[step] = [highest(scores, most, always) for scores in join(own, 1)]
        searching = layer <= selecting or layer == reselecting
        return None if searching or held <= most else chosen[step]

    return rule


@pytest.mark.parametrize(("selecting", "reselecting"), [(1, 3), (2, 4), (0, 5)])
def test_layers_read_what_an_earlier_one_chose(deep, selecting, reselecting):
    loaded, model = deep
    policy = TidalDecode(selecting=selecting, reselecting=reselecting)
    agree(live(loaded, policy, 7), expected(model, inherited(7, selecting, reselecting)))


def test_heads_of_a_group_are_joined_by_the_highest(deep):
    loaded, model = deep
    policy = TidalDecode(selecting=1, reselecting=3, reduction="max")
    rule = inherited(7, 1, 3, lambda weights, axis: weights.amax(axis))
    found = live(loaded, policy, 7)[0]
    assert found == expected(model, rule)[0]
    assert found != expected(model, inherited(7, 1, 3))[0]


@pytest.mark.parametrize(
    ("layers", "selecting", "reselecting"),
    [(1, 0, 0), (2, 0, 1), (3, 1, 1), (6, 2, 2), (8, 2, 3), (12, 2, 5), (32, 2, 13)],
)
def test_layers_follow_the_depth(layers, selecting, reselecting):
    fitted = TidalDecode().fitted(64, layers, 512)
    assert (fitted.selecting, fitted.reselecting) == (selecting, reselecting)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "gpt_oss"])
def test_a_budget_that_holds_everything_is_the_full_cache(twins, family):
    loaded, _ = twins(family)
    full, other = (CachedSequence(loaded, policy, 38) for policy in (Full(), TidalDecode()))
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        same = other.read(ids)
        torch.testing.assert_close(same, full.read(ids), rtol=0, atol=0)
        assert other.selected == {}
    assert other.cache_bytes == full.cache_bytes


def test_layers_with_a_window_neither_choose_nor_read_a_choice(twins):
    loaded, _ = twins("gemma2")  # layers 0 and 2 see a window
    sequence = CachedSequence(loaded, TidalDecode(selecting=0, reselecting=2), 6)
    sequence.read(TOKENS[:24])
    sequence.read([TOKENS[24]])
    assert sequence.windowed_layers == (0, 2)
    assert sequence.selected == {}
    assert sequence.shared["choice"][1] == 1


def test_choice_by_hand():
    cache, policy = holding(4, 2), TidalDecode(selecting=0, reselecting=2)
    cache.queries = torch.zeros(2, 1, 4)
    assert policy.selects(view(cache, policy)) is None
    policy.observe_step(
        view(cache, policy), torch.tensor([[[0.1, 0.6, 0.2, 0.1]], [[0.4, 0.0, 0.5, 0.1]]])
    )
    # Means 0.25, 0.3, 0.35; the newest reads itself.
    cache.layer = 1
    assert [own.tolist() for own in policy.selects(view(cache, policy)).indices] == [[2, 3]]
    cache.layer = 2
    assert policy.selects(view(cache, policy)) is None
    cache.layer, cache.step = 1, 2
    assert policy.selects(view(cache, policy)) is None


def test_layers_out_of_order_or_range_are_refused():
    with pytest.raises(ValueError, match="reselecting=2 is not after selecting=2"):
        TidalDecode(selecting=2, reselecting=2)
    with pytest.raises(ValueError, match="reselecting=13 is no layer of a model of 8"):
        TidalDecode(reselecting=13).fitted(64, 8, 512)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    policy = TidalDecode(selecting=0, reselecting=2)
    agree(live(loaded, policy, 7), expected(model, inherited(7, 0, 2)))


def test_tidal_decode_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
