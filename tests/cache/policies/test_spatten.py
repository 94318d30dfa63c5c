"""SpAtten's cascade against full matrices, one token and one layer at a time in Python."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.cache.policies.conftest import Pair, kept
from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.spatten import SpAtten

LENGTH, BUDGET, STEPS = 41, 14, 9
SETTINGS = {"front": 0.3, "last_share": 0.5, "recent_share": 0.25}


@dataclass
class Twin:
    """Every step reads the whole text anew; what is gone is hidden from later rows."""

    model: torch.nn.Module
    budgets: list[int]
    front: int
    importance: dict[int, float] = field(default_factory=dict)
    last_layer: dict[int, int] = field(default_factory=dict)
    rows: list[dict[int, list[int]]] = field(default_factory=list)
    """By layer what each query row sees."""
    cached: list[list[int]] = field(default_factory=list)
    """By layer."""

    def run(self, ids: list[int], prompt: int) -> tuple[list[list[list[int]]], Tensor]:
        """What is cached by step and layer, and the log-probabilities of the last row."""
        depth = len(self.budgets)
        self.rows = [{} for _ in range(depth)]
        self.cached = [[] for _ in range(depth)]
        found = []
        for length in range(prompt, len(ids) + 1):
            self.now, self.prompt = length, prompt
            new = range(prompt) if length == prompt else [length - 1]
            for at in new:
                self.importance[at], self.last_layer[at] = 0.0, depth
            self.going = list(new)
            result = oracle.run(self.model, ids[:length], self.edit)
            if length == prompt:
                for layer in range(self.front):
                    self.reduce(layer)
            found.append([list(own) for own in self.cached])
        return found, torch.from_numpy(result.log_p[-1])

    def edit(self, module, weights, q, k):
        layer = int(module.layer_idx)
        new = self.going
        self.cached[layer] = self.cached[layer] + new
        for at in new:
            self.rows[layer][at] = [seen for seen in self.cached[layer] if seen <= at]
        mask = torch.zeros_like(weights[0])
        for at, seen in self.rows[layer].items():
            mask[at, seen] = 1
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
        for at in new:
            for seen in self.rows[layer][at]:
                self.importance[seen] += float(weights[:, at, seen].mean())
        if self.now == self.prompt:
            if self.front <= layer + 1 < len(self.budgets):
                budget = self.budgets[layer + 1]
                stay = self.highest(new, budget)
                for at in set(new) - set(stay):
                    self.last_layer[at] = min(self.last_layer[at], layer)
                self.going = stay
        else:
            self.reduce(layer)
        return weights

    def highest(self, among: list[int], budget: int) -> list[int]:
        newest = set(among[-max(1, round(0.25 * budget)) :])
        order = sorted(
            among, key=lambda p: (p not in newest, -self.last_layer[p], -self.importance[p], p)
        )
        return sorted(order[:budget])

    def reduce(self, layer: int) -> None:
        here = self.cached[layer]
        stay = self.highest(here, self.budgets[layer])
        for at in set(here) - set(stay):
            self.last_layer[at] = min(self.last_layer[at], layer - 1)
        self.cached[layer] = stay


def test_layers_share_the_budget_and_none_has_more_than_the_prompt():
    policy = SpAtten(last_share=0.5).fitted(40, 5, 999)
    assert policy.layer_budgets(40, 5, 100) == [60, 50, 40, 30, 20]
    assert policy.layer_budgets(40, 5, 50) == [50, 45, 40, 35, 30]
    assert policy.layer_budgets(60, 5, 50) == [60] * 5
    assert [policy.prompt_length_at(layer, 40, 100) for layer in range(5)] == [100, 50, 40, 30, 20]
    assert SpAtten(last_share=0.1).smallest_budget() == 20


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_what_follows_is_that_of_full_matrices_with_the_rest_hidden(tiny, family):
    pair = tiny(family)
    ids, steps = pair.prompt(LENGTH), pair.prompt(STEPS)
    sequence = CachedSequence(pair.loaded, SpAtten(**SETTINGS), BUDGET)
    logits = sequence.read(ids)
    twin = Twin(pair.eager, sequence.policy.layer_budgets(BUDGET, 3, LENGTH), 1)
    found, log_p = twin.run(ids + steps, LENGTH)
    assert kept(sequence) == [[own] * 2 for own in found[0]]
    for step, token in enumerate(steps, 1):
        logits = sequence.read([token])
        assert kept(sequence) == [[own] * 2 for own in found[step]], step
    torch.testing.assert_close(logits.double().log_softmax(-1), log_p, rtol=1e-4, atol=1e-4)


def test_kept_sets_are_nested_over_layers(deep):
    pair = Pair(*deep)
    sequence = CachedSequence(pair.loaded, SpAtten(front=0.4), 16)
    for given in (pair.prompt(60), *([token] for token in pair.prompt(20)), pair.prompt(5)):
        sequence.read(given)
        held = [set(layer[0]) for layer in kept(sequence)]
        assert all(later <= before for before, later in pairwise(held))
        assert [len(own) for own in held] == sequence.policy.layer_budgets(16, 6, 60)


def test_everything_kept_is_the_full_cache(tiny):
    pair, ids = tiny(), tiny().prompt(30)
    full, found = pair.under("full", 1, ids), pair.under("spatten", 60, ids)
    for token in (5, 6):
        torch.testing.assert_close(found.read([token]), full.read([token]), rtol=0, atol=0)


def test_silent_heads_are_those_that_said_least_in_the_layers_before(tiny):
    pair, ids = tiny(), tiny().prompt(30)
    sequence = CachedSequence(pair.loaded, SpAtten(heads_left=0.5), 99)
    seen: dict[int, Tensor] = {}
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _, given, number=number: seen.__setitem__(number, given[0].detach().clone())
        )
        for number, layer in enumerate(pair.loaded.layers)
    ]
    sequence.read(ids)
    for hook in hooks:
        hook.remove()
    said, silent = torch.zeros(4), set()
    for number, left in enumerate((4, 3, 2)):
        order = sorted(set(range(4)) - silent, key=lambda h: -float(said[h]))
        silent |= set(order[left:])
        own = seen[number][0].unflatten(-1, (4, -1)).abs().sum((0, 2))
        assert {h for h in range(4) if own[h] == 0} == silent
        said += own
    assert len(silent) == 2


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    sequence = CachedSequence(pair.loaded, SpAtten(**SETTINGS), BUDGET)
    sequence.read(pair.prompt(LENGTH))
    twin = Twin(pair.eager, sequence.policy.layer_budgets(BUDGET, 3, LENGTH), 1)
    found, _ = twin.run(pair.prompt(LENGTH), LENGTH)
    assert kept(sequence) == [[own] * 2 for own in found[0]]


def test_spatten_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
