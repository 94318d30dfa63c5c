"""ThinK drops the channels that full matrices say, and attention is that of zeroed channels."""

import pytest
import torch

from tests.cache.policies.conftest import Pair
from tests.cache.policies.eager import eager_layers
from tests.interventions import oracle
from tokenarium.backend.cache.packed_entries import PackedEntries


def channels_by_hand(layer, rotated: torch.Tensor, window: int, dropped: int) -> list[list[int]]:
    """What stays in each KV head, one channel at a time; queries [H, T, D] after rotation."""
    groups, each = len(layer.keys), len(rotated) // len(layer.keys)
    kept = []
    for g in range(groups):
        scores = []
        for channel in range(layer.keys.shape[2]):
            own = rotated[g * each : (g + 1) * each, -window:, channel].double()
            scores.append(float((own**2).mean() * (layer.keys[g, :, channel].double() ** 2).mean()))
        lowest = sorted(range(len(scores)), key=lambda channel: scores[channel])[:dropped]
        kept.append(sorted(set(range(len(scores))) - set(lowest)))
    return kept


def queries_by_layer(model, ids: list[int]) -> list[torch.Tensor]:
    found: dict[int, torch.Tensor] = {}

    def note(module, weights, q, k):
        found[int(module.layer_idx)] = q
        return weights

    oracle.run(model, ids, note)
    return [found[layer] for layer in sorted(found)]


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(50)
    sequence = pair.under("think", 1, ids, removed=0.5, window=12, newest=6)
    layers = zip(
        sequence.layers,
        eager_layers(pair.eager, ids),
        queries_by_layer(pair.eager, ids),
        strict=True,
    )
    for held, eager, queries in layers:
        entries = held.entries
        assert isinstance(entries, PackedEntries)
        expected = channels_by_hand(eager, queries, 12, dropped=4)
        assert entries.channels.tolist() == expected
        keys, values = entries.rows("keys"), entries.rows("values")
        thin = torch.zeros_like(eager.keys)
        for g, own in enumerate(expected):
            thin[g, :, own] = eager.keys[g, :, own]
        thin[:, -6:] = eager.keys[:, -6:]
        torch.testing.assert_close(keys, thin, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(values, eager.values, rtol=1e-4, atol=1e-5)


def test_think_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)


def test_its_bytes_really_fall(tiny):
    pair, ids = tiny(), tiny().prompt(400)
    full = pair.under("full", 1, ids).cache_bytes
    thin = pair.under("think", 1, ids, removed=0.5, newest=0).cache_bytes
    entry, key = 8 * 4 * 2 + 4, 4 * 4
    assert thin < full * (entry - key) / entry * 1.05


def test_nothing_removed_is_the_full_cache(tiny):
    pair, ids = tiny(), tiny().prompt(40)
    full, found = pair.under("full", 1, ids), pair.under("think", 1, ids, removed=0.0)
    torch.testing.assert_close(found.read([5]), full.read([5]), rtol=0, atol=0)


@pytest.mark.parametrize("step", [3, 9])
def test_tokens_after_the_prompt_stay_whole(tiny, step):
    pair, ids = tiny(), tiny().prompt(40)
    full = pair.under("full", 1, ids, range(step))
    found = pair.under("think", 1, ids, range(step), removed=0.5, newest=0)
    for own, layer in zip(full.layers[:1], found.layers[:1], strict=True):
        assert layer.entries.packed == [40, 40]
        torch.testing.assert_close(
            layer.entries.rows("keys")[:, 40:], own.entries.rows("keys")[:, 40:]
        )
