"""MiniCache: directions between two layers, one token at a time, and what stays whole."""

import math

import pytest
import torch

from tests.cache.policies.conftest import Pair
from tests.cache.policies.eager import eager_layers
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.paired_entries import PairedEntries, paired
from tokenarium.backend.cache.policies.minicache import MiniCache
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.cache.storage_plan import StoragePlan

LENGTH = 50


def merged(lower, upper, share, apart):
    """What both layers then hold of rows [n, D], in float64, and which rows stay whole."""
    lengths, units, angles = [], [], []
    for own in (lower.double(), upper.double()):
        lengths.append([float(row.norm()) for row in own])
        units.append([row / row.norm() for row in own])
    for a, b in zip(*units, strict=True):
        angles.append(math.acos(max(-1.0, min(1.0, float(a @ b)))))
    whole = sorted(range(len(angles)), key=lambda i: (-angles[i], i))[: round(apart * len(angles))]
    found = [lower.double().clone(), upper.double().clone()]
    for i, angle in enumerate(angles):
        if i in whole:
            continue
        parts = ((1 - share) * angle, share * angle)
        between = sum(math.sin(p) * u[i] for p, u in zip(parts, units, strict=True))
        for side in (0, 1):
            found[side][i] = lengths[side][i] * between / math.sin(angle)
    return found, sorted(whole)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(LENGTH)
    sequence = pair.under("minicache", 1, ids, apart=0.1, newest=6, from_layer=0.4)
    layers, eager = sequence.layers, eager_layers(pair.eager, ids)
    assert [isinstance(one.entries, PairedEntries) for one in layers] == [False, True, True]
    for name in ("keys", "values"):
        for g in range(2):
            lower, upper = (getattr(eager[layer], name)[g, : LENGTH - 6] for layer in (1, 2))
            expected, whole = merged(lower, upper, 0.6, 0.1)
            assert layers[1].entries.parts[name].apart[g].tolist() == whole
            for side in (0, 1):
                held = layers[1 + side].entries.rows(name)[g]
                torch.testing.assert_close(
                    held[: LENGTH - 6].double(), expected[side], rtol=1e-3, atol=1e-4
                )
                newest = getattr(eager[1 + side], name)[g, LENGTH - 6 :]
                torch.testing.assert_close(held[LENGTH - 6 :], newest, rtol=1e-4, atol=1e-5)


def test_minicache_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_either_end_one_layer_is_exact(tiny, share):
    pair, ids = tiny(), tiny().prompt(LENGTH)
    full = pair.under("full", 1, ids)
    found = pair.under("minicache", 1, ids, share=share, apart=0.0, from_layer=0.4)
    exact, other = (1, 2) if share == 0 else (2, 1)
    for name in ("keys", "values"):
        own, held = (one.layers[exact].entries.rows(name) for one in (full, found))
        torch.testing.assert_close(held, own, rtol=1e-5, atol=1e-6)
        apart = found.layers[other].entries.rows(name) - full.layers[other].entries.rows(name)
        assert apart.norm() > 0.1


def test_layers_that_are_alike_merge_without_loss():
    draw = torch.Generator().manual_seed(1)
    keys, values = torch.randn(2, 2, 9, 4, generator=draw)
    layers = [Entries(keys, values, torch.arange(9)), Entries(3 * keys, values, torch.arange(9))]
    none = {name: torch.zeros(2, 0, dtype=torch.long) for name in ("keys", "values")}
    plan = StoragePlan(2, apart=0.0, between=0.6)
    for before, after in zip(layers, paired(*layers, plan, none), strict=True):
        for name in ("keys", "values"):
            torch.testing.assert_close(after.rows(name), before.rows(name), rtol=1e-6, atol=1e-6)


def test_new_tokens_are_whole_and_attention_reads_them(tiny):
    pair, ids = tiny(), tiny().prompt(LENGTH)
    own = {"from_layer": 0.4, "apart": 1.0}
    full, found = pair.under("full", 1, ids), pair.under("minicache", 1, ids, **own)
    for token in range(5, 25):  # beyond the room of the first layout
        torch.testing.assert_close(found.read([token]), full.read([token]), rtol=1e-4, atol=1e-5)
    some = pair.under("minicache", 1, ids, from_layer=0.4)
    again = pair.under("full", 1, ids)
    assert (some.read([5]) - again.read([5])).abs().max() > 1e-4


def test_it_says_how_alike_the_layers_are_and_stands_alone(tiny):
    pair = tiny()
    sequence = CachedSequence(pair.loaded, MiniCache(from_layer=0.4), 1)
    sequence.read(pair.prompt(LENGTH))
    [(layer, keys, values)] = sequence.shared["likeness"]
    lower, upper = eager_layers(pair.eager, pair.prompt(LENGTH))[1:]
    assert layer == 1
    assert keys == pytest.approx(
        float(torch.cosine_similarity(lower.keys, upper.keys, 2).mean()), abs=1e-4
    )
    [said] = sequence.policy.found(sequence.shared)
    assert f"keys {keys:.2f}, values {values:.2f}, 1 pairs" in said
    assert "the method rests on layers that are alike, which these are not" in said
    assert MiniCache().found({})[0].startswith("nothing is shared")
    for first, then in (("snapkv", "minicache"), ("minicache", "kv_quant")):
        with pytest.raises(ValueError, match="let it stand alone"):
            PolicySpec(first, then=[then])
