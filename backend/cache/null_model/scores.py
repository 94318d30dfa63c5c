"""What a policy's scores are worth where attention says nothing: its own code on the null model.

Accumulated scores favour old tokens even on pure noise: with even attention row i adds 1 / (i + 1)
to every token before it. A score means something only where it differs from that.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Generator, Tensor

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.evictions import Dropped
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.null_model.attention import NullAttention, can_make
from tokenarium.backend.cache.terms import CONTENT, Protected

DRAWS = 8
"""Runs on random attention of which the mean is taken, where even attention does not give it."""


@dataclass(frozen=True)
class _NullLayer:
    """One layer as it would be if attention knew nothing of the text; it has no content."""

    cache: LayerCache
    attention: NullAttention

    @staticmethod
    def after_prompt(
        run: CachedSequence, like: LayerCache, random: Generator | None
    ) -> "_NullLayer":
        """Return a layer whose policy has observed a prompt's null attention."""
        device = like.entries.buffers["positions"].device
        attention = NullAttention(like.heads, random, device)
        nothing = torch.zeros(like.entries.groups, like.prompt, 1, device=device)
        entries = Entries(nothing, nothing, torch.arange(like.prompt, device=device))
        cache = replace(
            like,
            entries=entries,
            rows=partial(attention.rows, like.prompt),
            random=Generator().manual_seed(0) if random is None else random,
            seen=like.prompt,
            step=0,
            memory={},
            shared={},
        )
        stats = attention.stats(run.policy.want(like.prompt), like.prompt)
        run.policy.observe_prompt(run.evictor.view(cache), stats)
        cache.rows = None
        return _NullLayer(cache, attention)

    def copied(self, like: LayerCache) -> "_NullLayer":
        """Return the same for another layer."""
        entries, memory = deepcopy(self.cache.entries), {**self.cache.memory}
        cache = replace(self.cache, layer=like.layer, entries=entries, memory=memory)
        return _NullLayer(cache, self.attention)

    def step(self, run: CachedSequence) -> None:
        """Read one token more."""
        cache = self.cache
        cache.step, cache.seen = run.step, run.seen
        nothing = cache.entries.buffers["keys"].new_zeros(cache.entries.groups, 1, 1)
        cache.entries.append(nothing, nothing, run.positions)
        if "attention" in run.needs:
            weights = self.attention.step(cache.entries.counts)
            run.policy.observe_step(run.evictor.view(cache), weights)

    def drop(self, run: CachedSequence, gone: list[Tensor]) -> Tensor:
        """Drop what the run dropped, and return the scores [G, S] of before."""
        choice = run.policy.kept(run.evictor.view(self.cache), self.cache.budget)
        assert choice.scores is not None
        scores = choice.scores.float().clone()
        entries = self.cache.entries
        entries.keep(
            [
                (~torch.isin(entries.head("positions", g), positions)).nonzero()[:, 0]
                for g, positions in enumerate(gone)
            ]
        )
        return scores


class NullModelScores:
    """Follows a run, and says for every choice what the scores would be on the null model.

    Args:
        seed: of what is drawn.
    """

    def __init__(self, run: CachedSequence, seed: int) -> None:
        self._run, self._seed = run, seed
        self._kind = run.policy.null_baseline()
        if self._kind in ("even", "drawn") and run.needs & CONTENT:
            self._kind = "shuffled"  # the null model has no content for the policy to read
        self._layers: dict[int, list[_NullLayer]] = {}

    @torch.inference_mode()
    def expected(self, choices: list[Dropped]) -> list[Tensor | None]:
        """Return for each choice the scores [G, S] of the same entries on the null model.

        To be called once after everything read, with all that was dropped; None where a choice
        was not made by scores.
        """
        run = self._run
        if self._kind in ("even", "drawn") and can_make(run.policy.want(run.prompt)):
            self._read()
            return [self._of(drop) for drop in choices]
        if self._kind == "same":
            return [drop.scores for drop in choices]
        return [self._shuffled(drop) for drop in choices]

    def _read(self) -> None:
        run = self._run
        if self._layers:
            for several in self._layers.values():
                for layer in several:
                    run.check()
                    layer.step(run)
            return
        # By budget: the null attention over a prompt is that of every layer.
        first: dict[int, list[_NullLayer]] = {}
        for cache in run.layers:
            if cache.window is None:
                if cache.budget not in first:
                    first[cache.budget] = [
                        _NullLayer.after_prompt(run, cache, random) for random in self._randoms()
                    ]
                self._layers[cache.layer] = [one.copied(cache) for one in first[cache.budget]]

    def _randoms(self) -> Iterator[Generator | None]:
        if self._kind == "even":
            yield None
            return
        for draw in range(DRAWS):
            yield Generator().manual_seed(self._seed * DRAWS + draw)

    def _of(self, drop: Dropped) -> Tensor | None:
        if drop.layer not in self._layers:
            return None
        scores = [one.drop(self._run, drop.positions) for one in self._layers[drop.layer]]
        return torch.stack(scores).mean(0)

    def _shuffled(self, drop: Dropped) -> Tensor | None:
        """Return the mean of the scores that compete: dealt at random, each entry expects it."""
        if drop.scores is None or drop.among is None:
            return None
        run, protected = self._run, Protected()
        if run.policy.when != "never":  # what is only not read has weights that add up to one
            budget = run.evictor.of_layer(drop.layer).budget
            protected = run.policy.protects(budget, drop.layer, run.prompt)
        among, scores = drop.among, drop.scores.float()
        present = among >= 0
        ahead = present.flip(1).cumsum(1).flip(1)  # entries from this one on
        open_ = (among >= protected.first) & (ahead > protected.newest)
        counts = present & open_ & scores.isfinite()
        mean = scores.where(counts, 0).sum(1, keepdim=True) / counts.sum(1, keepdim=True)
        return mean.expand_as(scores)
