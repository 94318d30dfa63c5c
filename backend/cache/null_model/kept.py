"""What the null model keeps: a policy's own code on random content, without any model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.null_model.attention import NullAttention, can_make

DRAWS = 4
"""Runs on random content; each has every KV head."""


@dataclass(frozen=True)
class NullKept:
    """How likely each token is kept after a step where content is random."""

    step: int
    layer: int
    """One layer of those with the same budget; -1 for all layers where some see fewer tokens: then
    it is about those."""
    share: NDArray[np.float32]
    """[places] share of the draws and heads that hold the entry of each position."""


@torch.inference_mode()
def null_kept(
    run: CachedSequence, steps: int, seed: int, wanted: Callable[[int], bool]
) -> list[NullKept]:
    """Continue random content as a finished run was continued, and return what stays.

    Keys, values and queries are normally distributed, attention is drawn from all distributions
    alike, surprisal is exponential; evictions are the policy's own.

    Args:
        run: the one that was finished; it is only read.
        steps: decode steps.
        seed: of what is drawn.
        wanted: whether a step is returned.
    Returns: nothing where a policy drops nothing, or wants statistics that noise does not have.
    """
    policy = run.policy
    if policy.when == "never" or not can_make(policy.want(run.prompt)):
        return []
    if policy.prunes_prompt:
        several = {-1: [cache for cache in run.layers if cache.window is None]}
    else:
        of_budget = {cache.budget: cache for cache in reversed(run.layers) if not cache.window}
        several = {cache.layer: [cache] for cache in of_budget.values()}
    last = 0 if policy.when == "prefill" else steps
    draws = 1 if policy.null_baseline() == "same" else DRAWS
    found = []
    for layer, alike in several.items():
        sums: dict[int, NDArray[np.float64]] = {}
        for draw in range(draws):
            random = Generator().manual_seed(seed * DRAWS + draw)
            for step, cache in enumerate(_continuation(run, alike, random, last)):
                if wanted(step):
                    before = sums.setdefault(step, np.zeros(run.prompt + steps))
                    before += _share_of_heads(cache, len(before))
        found += [
            NullKept(step, layer, (total / draws).astype(np.float32))
            for step, total in sums.items()
        ]
    return found


def _share_of_heads(cache: LayerCache, places: int) -> NDArray[np.float64]:
    entries = cache.entries
    counts = np.zeros(places)
    for g in range(entries.groups):
        counts[entries.head("positions", g).cpu().numpy()] += 1
    return counts / entries.groups


def _continuation(
    run: CachedSequence, alike: list[LayerCache], random: Generator, steps: int
) -> Iterator[LayerCache]:
    """Yield the layer after the prompt and after every step.

    Args:
        alike: layers that hold the same; the first in which the policy can choose stands for all.
    """
    policy = run.policy
    device = alike[0].entries.buffers["positions"].device
    content = _Content(alike[0], run.prompt + steps, random, device)
    shared: dict[str, object] = {}
    for like in alike:
        cache = content.prompt(run, like, shared)
        going = None
        if policy.prunes_prompt:
            going = policy.prompt_kept(run.evictor.view(cache))
        if going is not None:
            cache.entries.keep([going] * cache.entries.groups)
        if going is not None or not policy.prunes_prompt:
            break
    cache.rows = None
    _drop(run, cache, 0)
    yield cache
    for step in range(1, steps + 1):
        run.check()
        content.step(run, cache, step)
        _drop(run, cache, step)
        yield cache


def _drop(run: CachedSequence, cache: LayerCache, step: int) -> None:
    policy, entries = run.policy, cache.entries
    due = policy.evicts_at(step, run.budget)
    if due and policy.over_budget(entries.counts, cache.budget):
        entries.keep(policy.kept(run.evictor.view(cache), cache.budget).indices)


class _Content:
    """Random content of one layer."""

    def __init__(
        self, like: LayerCache, places: int, random: Generator, device: torch.device
    ) -> None:
        self._random, self._device = random, device
        self._attention = NullAttention(like.heads, random, device)
        self._sizes = [like.entries.width(name) for name in ("keys", "values")]
        self._surprisal = torch.empty(places).exponential_(generator=random).to(device)
        self._surprisal[0] = float("nan")  # as nothing comes before the first token

    def _drawn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._random).to(self._device)

    def _vectors(self, groups: int, length: int) -> list[Tensor]:
        return [self._drawn(groups, length, size) for size in self._sizes]

    def prompt(
        self, run: CachedSequence, like: LayerCache, shared: dict[str, object]
    ) -> LayerCache:
        """Return a layer that has read a prompt."""
        length = like.prompt
        keys, values = self._vectors(like.entries.groups, length)
        cache = replace(
            like,
            entries=Entries(keys, values, torch.arange(length, device=self._device)),
            random=self._random,
            seen=length,
            step=0,
            queries=self._drawn(like.heads, length, self._sizes[0]),
            rows=partial(self._attention.rows, length),
            surprisal=self._surprisal[:length],
            memory={},
            shared=shared,
        )
        stats = self._attention.stats(run.policy.want(length), length)
        run.policy.observe_prompt(run.evictor.view(cache), stats)
        return cache

    def step(self, run: CachedSequence, cache: LayerCache, step: int) -> None:
        """Read one token more."""
        cache.step, cache.seen = step, cache.seen + 1
        cache.surprisal = self._surprisal[: cache.seen]
        cache.queries = self._drawn(cache.heads, 1, self._sizes[0])
        keys, values = self._vectors(cache.entries.groups, 1)
        cache.entries.append(keys, values, torch.tensor([cache.seen - 1], device=self._device))
        if "attention" in run.needs:
            weights = self._attention.step(cache.entries.counts)
            run.policy.observe_step(run.evictor.view(cache), weights)
