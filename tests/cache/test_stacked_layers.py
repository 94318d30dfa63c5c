"""Layers treated as one give what each gives by itself."""

import pytest
import torch

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy

BATCHED = [policy.slug for policy in Policy.registry.all() if policy.batches_layers]
PROMPT = 60


def course(loaded, slug: str, budget: int) -> list[object]:
    """What a run with two turns drops, holds and answers."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(10, 200, (PROMPT + 40,), generator=draw).tolist()
    sequence = CachedSequence(loaded, Policy.registry.find(slug)(), budget, seed=3)
    sequence.keep_scores = True
    told: list[object] = []
    single = [[token] for token in ids[PROMPT + 9 :]]
    for given in (ids[:PROMPT], *single[:12], ids[PROMPT : PROMPT + 9], *single[12:]):
        logits = sequence.read(given)
        told += [logits, sequence.cache_bytes]
        for drop in sequence.dropped:
            scores = [] if drop.scores is None else [drop.scores, drop.among]
            told += [drop.step, drop.layer, *drop.positions, *scores]
        sequence.dropped.clear()
        for held in sequence.layers:
            told += [held.entries.head(name, 1).clone() for name in sorted(held.entries.buffers)]
    assert (sequence.evictor.stacked is not None) == Policy.registry.find(slug).batches_layers
    return told


@pytest.mark.parametrize("budget", [20, 58, 70])
@pytest.mark.parametrize("slug", BATCHED)
def test_a_step_for_all_layers_is_a_step_for_each(twins, monkeypatch, slug, budget) -> None:
    loaded, _ = twins("llama")
    at_once = course(loaded, slug, budget)
    monkeypatch.setattr(Policy.registry.find(slug), "batches_layers", False)
    one_by_one = course(loaded, slug, budget)
    assert len(at_once) == len(one_by_one)
    for found, expected in zip(at_once, one_by_one, strict=True):
        if isinstance(expected, torch.Tensor):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
        else:
            assert found == expected


def test_layers_with_a_window_stay_by_themselves(twins) -> None:
    loaded, _ = twins("gemma3_text")
    sequence = CachedSequence(loaded, Policy.registry.find("h2o")(), 20)
    for given in (list(range(10, 60)), [5], [6]):
        sequence.read(given)
    counts = [held.entries.counts for held in sequence.layers]
    assert [max(own) for own in counts] == [15, 20, 15]
    assert sequence.windowed_layers == (0, 2)


def test_layers_of_other_budgets_are_not_stacked(twins, monkeypatch) -> None:
    loaded, _ = twins("llama")

    def falling(self, budget: int, layers: int, length: int) -> list[int]:
        return [budget + 2, budget, budget - 2]

    monkeypatch.setattr(Policy.registry.find("h2o"), "layer_budgets", falling)
    sequence = CachedSequence(loaded, Policy.registry.find("h2o")(), 20)
    for given in (list(range(10, 60)), [5], [6]):
        sequence.read(given)
    assert [max(held.entries.counts) for held in sequence.layers] == [22, 20, 18]
