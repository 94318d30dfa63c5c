"""CaM keeps what H2O keeps, with values merged as loops over full matrices say."""

import torch

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import best, eager_layers
from tests.cache.policies.twin import holding, view
from tokenarium.backend.cache.policies.cam import CaM

LENGTH, BUDGET = 61, 16


def merged_by_loops(values, mass, kept, m, draws):
    """Values of the kept entries, each dropped value shared out one after another."""
    new = values.clone().double()
    dropped = [at for at in range(len(values)) if at not in kept]
    for at, draw in zip(dropped, draws, strict=True):
        following = [own for own in kept if own > at][:m]
        if not following:
            continue
        chance = float(mass[at]) / (sum(float(mass[own]) for own in following) / len(following))
        if float(draw) < min(1.0, chance):
            for own in following:
                new[own] += values[at].double() / len(following)
    return new[kept]


def test_values_of_what_is_dropped_go_on_with_the_next(tiny):
    pair = tiny()
    ids = pair.prompt(LENGTH)
    found = pair.under("cam", BUDGET, ids, merged=3, prompt=True)
    full = pair.under("full", 1, ids)
    random = torch.Generator().manual_seed(0)
    for cache, whole, layer in zip(
        found.layers, full.layers, eager_layers(pair.eager, ids), strict=True
    ):
        mass = layer.grouped(layer.attention.double().sum(1))
        for g in range(2):
            own = cache.entries.head("positions", g).tolist()
            draws = torch.rand(LENGTH - BUDGET, generator=random)
            expected = merged_by_loops(whole.entries.head("values", g), mass[g], own, 3, draws)
            torch.testing.assert_close(
                cache.entries.head("values", g).double(), expected, rtol=1e-4, atol=1e-5
            )
            keys = whole.entries.head("keys", g)[own]
            torch.testing.assert_close(cache.entries.head("keys", g), keys, rtol=0, atol=0)


def test_the_prompt_is_reduced_without_merging_unless_asked_for(tiny):
    pair = tiny()
    ids = pair.prompt(LENGTH)
    plain, other = (pair.under(slug, BUDGET, ids) for slug in ("h2o", "cam"))
    for one, two in zip(plain.layers, other.layers, strict=True):
        assert torch.equal(one.entries.rows("values"), two.entries.rows("values"))
    plain, other = (pair.under(slug, BUDGET, ids, [3, 4, 5, 6]) for slug in ("h2o", "cam"))
    same = [
        torch.equal(one.entries.rows("values"), two.entries.rows("values"))
        for one, two in zip(plain.layers, other.layers, strict=True)
    ]
    assert not all(same)


def test_a_value_by_hand():
    cache = holding(4, 3)
    cache.entries.buffers["values"][:4] = torch.eye(4)
    policy = CaM(merged=2, recent_share=0)
    own = view(cache, policy)
    own.put("mass", torch.tensor([[5.0, 1, 1, 1]]))
    own.put("mass", torch.tensor([[5.0, 0.9, 1.0, 0.8]]))
    choice = policy.kept(own, 3)
    assert choice.indices[0].tolist() == [0, 1, 2]
    assert torch.equal(choice.values[0][:3], torch.eye(4)[:3])  # nothing follows the last
    own.put("mass", torch.tensor([[0.9, 5.0, 1.0, 0.95]]))
    cache.random.manual_seed(1)
    chance, draw = 0.9 / 3, float(torch.rand(1, generator=torch.Generator().manual_seed(1)))
    choice = policy.kept(own, 3)
    half = 0.5 * (draw < chance)
    assert choice.values[0][1].tolist() == [half, 1, 0, 0]
    assert choice.values[0][2].tolist() == [half, 0, 1, 0]


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(LENGTH)
    newest = BUDGET // 2
    for own, layer in zip(
        kept(pair.under("cam", BUDGET, ids)), eager_layers(pair.eager, ids), strict=True
    ):
        mass = layer.grouped(layer.attention.double().sum(1))[:, : LENGTH - newest]
        assert own == [
            [*best(head, BUDGET - newest), *range(LENGTH - newest, LENGTH)] for head in mass
        ]


def test_cam_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
