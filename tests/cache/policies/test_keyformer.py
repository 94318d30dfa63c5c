"""Keyformer against full matrices, with the same noise."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from tests.cache.policies.twin import (
    PROMPT,
    Twin,
    check_same,
    holding,
    kept_live,
    mean_of_group,
    view,
)
from tokenarium.backend.cache.policies.keyformer import Keyformer


@dataclass
class Noisy:
    """Running sums over all tokens, drawn in the order of steps and layers."""

    random: torch.Generator
    reduction: str = "mean"
    observed: int = PROMPT
    warming: float = 0.01
    steps: dict[int, int] = field(default_factory=dict)
    mass: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, layer: int, weights: Tensor, seen: Tensor) -> Tensor:
        heads, length = weights.shape[:2]
        step = self.steps[layer] = self.steps.get(layer, -1) + 1
        first = length - (self.observed if step == 0 else 1)
        given = torch.zeros(heads, length)
        entries = [int(own[-1].sum()) for own in seen]
        drawn = -torch.rand(heads, length - first, max(entries), generator=self.random).log()
        for head in range(heads):
            here = seen[head // 2, -1].nonzero()[:, 0]
            noise = -drawn[head].log()
            logits = weights[head, first:, here].log() + noise[:, : len(here)]
            temperature = 1 + step * self.warming
            given[head, here] = (logits / temperature).softmax(-1).sum(0)
        grouped = given.unflatten(0, (2, 2))
        joined = grouped.sum(1) if self.reduction == "sum" else mean_of_group(given, 2)
        before = torch.nn.functional.pad(self.mass.get(layer, torch.zeros(2, 0)), (0, length))[
            :, :length
        ]
        self.mass[layer] = before + joined
        return self.mass[layer]


@pytest.mark.parametrize(("seed", "warming", "observed"), [(0, 0.01, 24), (3, 0.5, 7)])
def test_keeps_by_the_running_sum_of_noisy_attention(twins, seed, warming, observed):
    loaded, model = twins("llama")
    noisy = Noisy(torch.Generator().manual_seed(seed), "mean", observed, warming)
    policy = Keyformer(warming=warming, observed=observed)
    twin = Twin(model, 10, noisy, newest=3)
    assert list(kept_live(loaded, policy, 10, seed)) == list(twin.run())


def test_a_seed_gives_one_choice_and_another_seed_another(twins):
    loaded, _ = twins("llama")
    once, again, other = (list(kept_live(loaded, Keyformer(), 10, seed)) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_noise_is_gumbel(twins):
    """By the Gumbel-max trick, at a low temperature an entry wins as often as its weight says."""
    weights = torch.tensor([0.5, 0.3, 0.2, 0.0]).expand(2, 4000, -1)
    cache = holding(4, 2)
    cache.entries.put("mass", torch.zeros(1, 4))
    policy = Keyformer(temperature=0.01, warming=0)
    policy.observe_step(view(cache, policy), weights)
    share = cache.entries.rows("mass")[0] / 4000
    torch.testing.assert_close(share, torch.tensor([0.5, 0.3, 0.2, 0.0]), atol=0.02, rtol=0)
    assert share[3] == 0


def test_newest_share_is_protected():
    cache, policy = holding(6, 4), Keyformer(recent_share=0.5)
    cache.entries.put("mass", torch.tensor([[6.0, 5, 4, 3, 2, 1]]))
    assert policy.kept(view(cache, policy), 4).indices[0].tolist() == [0, 1, 4, 5]


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = Twin(model, 10, Noisy(torch.Generator().manual_seed(0)), newest=3)
    check_same(kept_live(loaded, Keyformer(), 10), twin.run())


def test_keyformer_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
