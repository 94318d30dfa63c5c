"""PyramidKV: budgets that fall by layer, and SnapKV's choice within each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import best, eager_layers
from tokenarium.backend.cache.policy import Policy


def test_pyramidkv_budgets_by_hand():
    # 40 beside the window: 40 / 4 = 10 at the top, 70 at the bottom, 20 less a layer.
    policy = Policy.registry.find("pyramidkv")(window=8, beta=4)
    assert policy.layer_budgets(48, 4, 1000) == [78, 58, 38, 18]
    assert policy.layer_budgets(48, 3, 1000) == [78, 48, 18]
    assert policy.layer_budgets(48, 1, 1000) == [48]
    # The lowest layer cannot hold more than a prompt of 70: 62 beside the window, so 18 at the top.
    assert policy.layer_budgets(48, 3, 70) == [70, 48, 26]
    assert (
        Policy.registry.find("pyramidkv")(window=8, beta=1).layer_budgets(48, 4, 1000) == [48] * 4
    )


@given(st.integers(1, 64), st.integers(1, 400), st.integers(1, 40), st.integers(0, 2000), st.data())
def test_pyramidkv_budgets_fall_and_add_up(window, spare, layers, dropped, data):
    budget = window + spare
    beta = data.draw(st.floats(1, 100))
    own = Policy.registry.find("pyramidkv")(window=window, beta=beta).layer_budgets(
        budget, layers, budget + dropped
    )
    assert sum(own) == budget * layers
    assert own == sorted(own, reverse=True)
    assert own[-1] >= window
    assert own[0] <= budget + dropped


def test_pyramidkv_chooses_within_a_layer_as_snapkv_does(tiny):
    pair = tiny()
    ids = pair.prompt(70)
    pyramid = kept(pair.under("pyramidkv", 20, ids, window=4, beta=4))
    budgets = Policy.registry.find("pyramidkv")(window=4, beta=4).layer_budgets(20, 3, 70)
    assert budgets == [32, 20, 8]
    for layer, budget in enumerate(budgets):
        assert pyramid[layer] == kept(pair.under("snapkv", budget, ids, window=4))[layer]


def test_pyramidkv_with_beta_one_is_snapkv(tiny):
    pair = tiny()
    ids = pair.prompt(50)
    assert kept(pair.under("pyramidkv", 16, ids, beta=1)) == kept(pair.under("snapkv", 16, ids))


@pytest.mark.parametrize("slug", ["snapkv", "pyramidkv"])
def test_smallest_budgets_hold_the_window_in_every_layer(tiny, slug):
    pair, ids = tiny(), tiny().prompt(30)
    policy = Policy.registry.find(slug)(window=5)
    for layer in kept(pair.under(slug, policy.smallest_budget(), ids, window=5)):
        assert all(head[-5:] == list(range(25, 30)) for head in layer)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(61)
    found = kept(pair.under("pyramidkv", 16, ids, window=4, kernel=1, beta=2))
    layers = zip(found, eager_layers(pair.eager, ids), (22, 16, 10), strict=True)
    for own, layer, budget in layers:
        votes = layer.grouped(layer.attention[:, -4:, :-4].double().mean(1))
        assert own == [[*best(head, budget - 4), *range(57, 61)] for head in votes]


def test_pyramidkv_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
