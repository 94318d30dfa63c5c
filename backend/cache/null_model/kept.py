"""What noise alone would keep: a policy's own code on random content, without any model."""

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
from tokenarium.backend.cache.null_model.attention import Contentless, makes

DRAWS = 4
"""Courses of random content; each tells of every KV head."""


@dataclass(frozen=True)
class KeptByNoise:
    """How likely noise alone holds each token after a step."""

    step: int
    layer: int
    """One layer of those with the same budget; -1 for all layers, of which some see fewer tokens:
    then told of those."""
    share: NDArray[np.float32]
    """[places] share of the draws and heads that hold the entry of each position."""


@torch.inference_mode()
def kept_by_noise(
    sequence: CachedSequence, steps: int, seed: int, wanted: Callable[[int], bool]
) -> list[KeptByNoise]:
    """Continue random content as a finished run was continued, and tell what stays.

    Keys, values and queries are normally distributed, attention is drawn from all distributions
    alike, surprisal is exponential; evictions are the policy's own.

    Args:
        sequence: the run that was finished; it is only read.
        steps: decode steps.
        seed: of what is drawn.
        wanted: whether a step is told.
    Returns: nothing where a policy drops nothing, or wants of a prompt what noise does not have.
    """
    policy = sequence.policy
    if policy.when == "never" or not makes(policy.want(sequence.prompt)):
        return []
    if policy.narrows:
        several = {-1: [held for held in sequence.layers if held.window is None]}
    else:
        of_budget = {held.budget: held for held in reversed(sequence.layers) if not held.window}
        several = {held.layer: [held] for held in of_budget.values()}
    last = 0 if policy.when == "prefill" else steps
    draws = 1 if policy.baseline() == "same" else DRAWS
    found = []
    for layer, alike in several.items():
        sums: dict[int, NDArray[np.float64]] = {}
        for draw in range(draws):
            random = Generator().manual_seed(seed * DRAWS + draw)
            for step, held in enumerate(_course(sequence, alike, random, last)):
                if wanted(step):
                    before = sums.setdefault(step, np.zeros(sequence.prompt + steps))
                    before += _share_of_heads(held, len(before))
        found += [
            KeptByNoise(step, layer, (total / draws).astype(np.float32))
            for step, total in sums.items()
        ]
    return found


def _share_of_heads(held: LayerCache, places: int) -> NDArray[np.float64]:
    entries = held.entries
    counts = np.zeros(places)
    for g in range(entries.groups):
        counts[entries.head("positions", g).cpu().numpy()] += 1
    return counts / entries.groups


def _course(
    sequence: CachedSequence, alike: list[LayerCache], random: Generator, steps: int
) -> Iterator[LayerCache]:
    """Yield the layer after the prompt and after every step.

    Args:
        alike: layers that hold the same; the first in which the policy can choose stands for all.
    """
    policy = sequence.policy
    device = alike[0].entries.buffers["keys"].device
    content = _Content(alike[0], sequence.prompt + steps, random, device)
    shared: dict[str, object] = {}
    for like in alike:
        held = content.prompt(sequence, like, shared)
        going = policy.goes_on(held) if policy.narrows else None
        if going is not None:
            held.entries.keep([going] * held.entries.groups)
        if going is not None or not policy.narrows:
            break
    held.rows = None
    _drop(sequence, held, 0)
    yield held
    for step in range(1, steps + 1):
        sequence.check()
        content.step(sequence, held, step)
        _drop(sequence, held, step)
        yield held


def _drop(sequence: CachedSequence, held: LayerCache, step: int) -> None:
    policy, entries = sequence.policy, held.entries
    if policy.due(step, sequence.budget) and policy.over(entries.counts, held.budget):
        entries.keep(policy.kept(held, held.budget))


class _Content:
    """Random content of one layer."""

    def __init__(
        self, like: LayerCache, places: int, random: Generator, device: torch.device
    ) -> None:
        self._random, self._device = random, device
        self._attention = Contentless(like.heads, random, device)
        self._sizes = [like.entries.buffers[name].shape[1] for name in ("keys", "values")]
        self._surprisal = torch.empty(places).exponential_(generator=random).to(device)
        self._surprisal[0] = float("nan")  # as nothing comes before the first token

    def _drawn(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._random).to(self._device)

    def _vectors(self, groups: int, length: int) -> list[Tensor]:
        return [self._drawn(groups, length, size) for size in self._sizes]

    def prompt(
        self, sequence: CachedSequence, like: LayerCache, shared: dict[str, object]
    ) -> LayerCache:
        """Return a layer that has read a prompt."""
        length = like.prompt
        keys, values = self._vectors(like.entries.groups, length)
        held = replace(
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
        stats = self._attention.stats(sequence.policy.want(length), length)
        sequence.policy.prefilled(held, stats)
        return held

    def step(self, sequence: CachedSequence, held: LayerCache, step: int) -> None:
        """Read one token more."""
        held.step, held.seen = step, held.seen + 1
        held.surprisal = self._surprisal[: held.seen]
        held.queries = self._drawn(held.heads, 1, self._sizes[0])
        keys, values = self._vectors(held.entries.groups, 1)
        held.entries.append(keys, values, torch.tensor([held.seen - 1], device=self._device))
        if sequence.policy.watches:
            sequence.policy.stepped(held, self._attention.step(held.entries.counts))
