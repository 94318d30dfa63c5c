"""What a policy's scores are worth where attention says nothing: its own code on noise.

Accumulated scores favour old tokens even on pure noise: with even attention row i adds 1 / (i + 1)
to every token before it. A score means something only where it differs from that.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Generator, Tensor

from tokenarium.backend.cache.engine import CachedSequence, Dropped
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.null_model.attention import Contentless, makes

DRAWS = 8
"""Runs on random attention whose mean is told, where even attention does not give it."""


@dataclass(frozen=True)
class _Shadow:
    """One layer as it would be if attention knew nothing of the text."""

    held: LayerCache
    attention: Contentless

    @staticmethod
    def after_prompt(
        sequence: CachedSequence, like: LayerCache, random: Generator | None
    ) -> "_Shadow":
        """Return a layer whose policy has read a prompt's noise; keys and values are left out."""
        device = like.entries.buffers["keys"].device
        attention = Contentless(like.heads, random, device)
        nothing = torch.zeros(like.entries.groups, like.prompt, 1, device=device)
        entries = Entries(nothing, nothing, torch.arange(like.prompt, device=device))
        held = replace(
            like,
            entries=entries,
            rows=partial(attention.rows, like.prompt),
            random=Generator().manual_seed(0) if random is None else random,
            seen=like.prompt,
            step=0,
            scored=None,
            memory={},
            shared={},
        )
        stats = attention.stats(sequence.policy.want(like.prompt), like.prompt)
        sequence.policy.prefilled(held, stats)
        held.rows = None
        return _Shadow(held, attention)

    def copied(self, like: LayerCache) -> "_Shadow":
        """Return the same for another layer."""
        entries = deepcopy(self.held.entries)
        held = replace(self.held, layer=like.layer, entries=entries, memory={**self.held.memory})
        return _Shadow(held, self.attention)

    def step(self, sequence: CachedSequence) -> None:
        """Read one token more."""
        held = self.held
        held.step, held.seen = sequence.step, sequence.seen
        nothing = held.entries.buffers["keys"].new_zeros(held.entries.groups, 1, 1)
        held.entries.append(nothing, nothing, sequence.positions)
        if sequence.policy.watches:
            sequence.policy.stepped(held, self.attention.step(held.entries.counts))

    def drop(self, sequence: CachedSequence, gone: list[Tensor]) -> Tensor:
        """Drop what the run dropped, and return the scores [G, S] that noise had given."""
        sequence.policy.kept(self.held, self.held.budget)
        assert self.held.scored is not None
        scores, self.held.scored = self.held.scored.float().clone(), None
        entries = self.held.entries
        entries.keep(
            [
                (~torch.isin(entries.head("positions", g), positions)).nonzero()[:, 0]
                for g, positions in enumerate(gone)
            ]
        )
        return scores


class Noise:
    """Follows a run, and says of every choice what scores noise would have given.

    Args:
        seed: of what is drawn.
    """

    def __init__(self, sequence: CachedSequence, seed: int) -> None:
        self._sequence, self._seed = sequence, seed
        self._kind = sequence.policy.baseline()
        self._layers: dict[int, list[_Shadow]] = {}

    @torch.inference_mode()
    def expected(self, choices: list[Dropped]) -> list[Tensor | None]:
        """Return for each choice the scores [G, S] that noise would give the same entries.

        To be called once after everything read, with all that was dropped; None where a choice
        was not made by scores.
        """
        run = self._sequence
        if self._kind in ("even", "drawn") and makes(run.policy.want(run.prompt)):
            self._read()
            return [self._of(drop) for drop in choices]
        if self._kind == "same":
            return [drop.scores for drop in choices]
        return [self._shuffled(drop) for drop in choices]

    def _read(self) -> None:
        run = self._sequence
        if self._layers:
            for shadows in self._layers.values():
                for shadow in shadows:
                    run.check()
                    shadow.step(run)
            return
        first: dict[int, list[_Shadow]] = {}  # by budget: a prompt's noise is that of every layer
        for held in run.layers:
            if held.window is None:
                if held.budget not in first:
                    first[held.budget] = [
                        _Shadow.after_prompt(run, held, random) for random in self._randoms()
                    ]
                self._layers[held.layer] = [one.copied(held) for one in first[held.budget]]

    def _randoms(self) -> Iterator[Generator | None]:
        if self._kind == "even":
            yield None
            return
        for draw in range(DRAWS):
            yield Generator().manual_seed(self._seed * DRAWS + draw)

    def _of(self, drop: Dropped) -> Tensor | None:
        if drop.layer not in self._layers:
            return None
        scores = [one.drop(self._sequence, drop.positions) for one in self._layers[drop.layer]]
        return torch.stack(scores).mean(0)

    def _shuffled(self, drop: Dropped) -> Tensor | None:
        """Return the mean of the scores that compete: dealt at random, each entry expects it."""
        if drop.scores is None or drop.among is None:
            return None
        policy, first, newest = self._sequence.policy, 0, 0
        if policy.when != "never":  # what is only not read has weights that add up to one
            first, newest = policy.protects(self._sequence.layers[drop.layer])
        among, scores = drop.among, drop.scores.float()
        held = among >= 0
        ahead = held.flip(1).cumsum(1).flip(1)  # entries from this one on
        counts = held & (among >= first) & (ahead > newest) & scores.isfinite()
        mean = scores.where(counts, 0).sum(1, keepdim=True) / counts.sum(1, keepdim=True)
        return mean.expand_as(scores)
