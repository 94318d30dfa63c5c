"""The same run over full matrices: every step reads the whole text anew and hides what is gone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.layer_view import LayerView
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.loaded import LoadedModel

Score = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, weights [H, T, T] without what is gone, visible [G, T, T]) to scores [G, T]."""
Kept = list[list[list[int]]]
"""Positions by layer and KV head."""
PROMPT = 24
TOKENS = torch.randint(10, 200, (38,), generator=torch.Generator().manual_seed(5)).tolist()
"""A prompt and 14 decode steps."""


@dataclass
class Twin:
    """What stays, by sorting in Python; ties go to the older token."""

    model: PreTrainedModel
    budget: int
    score: Score | None = None
    """None where the choice waits for the whole step."""
    first: int = 0
    newest: int = 0
    every: int = 1
    kept_then: int | None = None
    """Entries after an eviction, where fewer than the budget."""
    shared: bool = False
    """Whether all heads take the mean score."""
    seen: list[Tensor] = field(default_factory=list)
    """By layer [G, N, N], true where a query sees a key."""

    def run(
        self, ids: list[int] = TOKENS, prompt: int = PROMPT, parts: Sequence[int] = ()
    ) -> Iterator[Kept]:
        """Yield what is kept after the prompt and after every step; and before that, after every
        part of the prompt but the last, which end at ``parts``."""
        config = self.model.config
        causal = torch.ones(config.num_key_value_heads, len(ids) + 1, len(ids) + 1).tril().bool()
        self.seen = [causal.clone() for _ in range(config.num_hidden_layers)]
        for number, length in enumerate((*parts, *range(prompt, len(ids) + 1))):
            step = max(0, number - len(parts))
            self.now = step, length
            expected = oracle.run(self.model, ids[:length], self._edit)
            self.after(expected)
            yield [
                [visible[length, :length].nonzero()[:, 0].tolist() for visible in layer]
                for layer in self.seen
            ]

    def after(self, expected: oracle.Expected) -> None:
        """Look at the whole step."""

    def _edit(self, module: nn.Module, weights: Tensor, q: Tensor, k: Tensor) -> Tensor:
        layer, (step, length) = int(module.layer_idx), self.now
        visible = self.seen[layer][:, :length, :length]
        weights = weights * visible.repeat_interleave(len(weights) // len(visible), 0)
        weights = weights / weights.sum(-1, keepdim=True)
        scores = None if self.score is None else self.score(layer, weights, visible)
        if scores is not None and step % self.every == 0:
            self.drop(layer, scores)
        return weights

    def drop(self, layer: int, scores: Tensor) -> None:
        """Hide from later queries what does not stay."""
        length = self.now[1]
        if self.shared:
            scores = scores.mean(0, keepdim=True).expand_as(scores)
        for g, own in enumerate(scores):
            here = self.seen[layer][g, length - 1, :length].nonzero()[:, 0].tolist()
            if len(here) <= self.budget:
                continue
            safe = {p for p in here if p < self.first} | set(here[len(here) - self.newest :])
            order = sorted(here, key=lambda p: (p not in safe, -float(own[p]), p))
            gone = order[self.budget if self.kept_then is None else self.kept_then :]
            self.seen[layer][g, length:, gone] = False


def kept_live(
    loaded: LoadedModel,
    policy: Policy,
    budget: int,
    seed: int = 0,
    prompt: int = PROMPT,
    prompt_chunk: int | None = None,
) -> Iterator[Kept]:
    """Yield the same of the engine, from the end of the prompt on."""
    sequence = CachedSequence(loaded, policy, budget, seed, prompt_chunk=prompt_chunk)
    for ids in (TOKENS[:prompt], *([token] for token in TOKENS[prompt:])):
        sequence.read(ids)
        yield [
            [layer.entries.head("positions", g).tolist() for g in range(layer.entries.groups)]
            for layer in sequence.layers
        ]


def mean_of_group(values: Tensor, groups: int) -> Tensor:
    """Return [G, ...] from query heads [H, ...]."""
    return values.unflatten(0, (groups, -1)).mean(1)


def holding(length: int, budget: int, step: int = 1) -> LayerCache:
    """Return a layer of two query heads on one KV head, with entries at 0, 1, ..."""
    nothing = torch.zeros(1, length, 4)
    return LayerCache(
        layer=0,
        entries=Entries(nothing, nothing, torch.arange(length)),
        heads=2,
        reduction="mean",
        random=torch.Generator().manual_seed(0),
        prompt=length,
        budget=budget,
        seen=length,
        step=step,
    )


def view(cache: LayerCache, policy: Policy) -> LayerView:
    """Return what a policy is given of a layer, as the engine gives it."""
    return LayerView(cache, policy.all_needs(), type(policy).__name__)


def check_same(live: Iterator[Kept], expected: Iterator[Kept], steps: int = 4) -> None:
    """Check what is kept after the prompt and after the first decode steps."""
    assert list(islice(live, steps)) == list(islice(expected, steps))
