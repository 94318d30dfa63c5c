"""What is dropped from the layers of a run or left unread, and when."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.cache.blocks import entries_of
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.layer_view import Choice, LayerView, SearchLevel
from tokenarium.backend.cache.merging import merge
from tokenarium.backend.cache.packed_entries import PackedEntries
from tokenarium.backend.cache.paired_entries import paired
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.rerotation import Rerotation
from tokenarium.backend.cache.stacked_layers import stack_layers
from tokenarium.backend.cache.storage_form import StorageForm, plan_of


@dataclass(frozen=True)
class Dropped:
    """What one eviction took from one layer: G heads, n_g entries each."""

    step: int
    layer: int
    positions: list[Tensor]
    """G original positions [n_g], ascending."""
    scores: Tensor | None = None
    """[G, S] the scores of all entries; where asked for, and where the policy scores."""
    among: Tensor | None = None
    """[G, S] the original positions that were scored; -1 after a head's last."""
    into: list[Tensor] | None = None
    """G positions [n_g] of the entries that what was dropped is now a part of; -1 for none."""


@dataclass(frozen=True)
class Selected:
    """What the queries of a step read in one layer, where that was not everything."""

    entries: Entries
    """Of the layer, until more is read."""
    choice: Choice
    scores: Tensor | None = None
    """[G, S] what all entries were chosen by; where asked for."""

    @property
    def levels(self) -> Sequence[SearchLevel]:
        """What was looked at to find them; none where nothing is searched."""
        return self.choice.levels

    @property
    def positions(self) -> list[Tensor]:
        """G original positions [n_g], ascending; looked up when asked for."""
        found = []
        for g, own in enumerate(self.choice.indices):
            at = entries_of(own, self.choice.block, self.entries.counts[g])
            found.append(self.entries.head("positions", g)[at])
        return found


class Evictor:
    """Brings the layers of a run down to their budgets, and notes what was dropped.

    Args:
        policy: fitted to the run.
        budget: entries per head right after an eviction.
        rerotation: turns kept keys to where they then stand.
        attending: layers of the model that attend.
    """

    def __init__(self, policy: Policy, budget: int, rerotation: Rerotation, attending: int) -> None:
        self.layers: list[LayerCache] = []
        self.dropped: list[Dropped] = []
        self.keep_scores = False
        self.more = False
        """Whether more of the prompt is to come: then nothing is stored in another form yet."""
        self.stacked: LayerCache | None = None
        """The layers in which the policy acts as one with all their heads, where it allows it."""
        self._policy, self._budget, self._rerotation = policy, budget, rerotation
        self._attending = attending
        self._needs = policy.all_needs()
        self._channels: dict[int, Tensor] = {}  # by layer, until its entries are packed
        self._weights: list[Tensor] = []  # of this step, of the layers that are stacked

    def of_layer(self, layer: int) -> LayerCache:
        """Return the cache of a layer, counted as the model counts its layers."""
        return next(cache for cache in self.layers if cache.layer == layer)

    def view(self, cache: LayerCache) -> LayerView:
        """Return what the policy is given of a layer."""
        return LayerView(cache, self._needs, type(self._policy).__name__)

    def choose_channels(self, cache: LayerCache) -> None:
        """Let the forms of a recipe choose channels of a layer that has read the prompt."""
        if cache.window is not None:
            return
        for form in self._policy.forms:
            view = LayerView(cache, form.all_needs(), type(form).__name__)
            chosen = form.channels(view)
            if chosen is not None:
                self._channels[cache.layer] = chosen

    def is_stacked(self, cache: LayerCache) -> bool:
        """Return whether a layer's scores and evictions wait for those of the others."""
        return self.stacked is not None and cache.window is None

    def open_step(self, step: int, seen: int, positions: Tensor) -> None:
        """Stack the layers at the first step, where the policy allows it, and make room in all."""
        if step == 1 and self.stacked is None:
            self.stacked = stack_layers(self._unwindowed(), self._policy, self._rerotation)
        if self.stacked is None:
            return
        cache = self.stacked
        cache.step, cache.seen = step, seen
        cache.entries.open(positions)
        self._weights = []
        self._rerotation.before(cache.entries, cache.layer, seen - 1)

    def observe(self, cache: LayerCache, weights: Tensor) -> None:
        """Hand a layer's weights [H, n, S] to the policy, or keep them until all are there."""
        if self.is_stacked(cache) and weights.shape[1] == 1:
            self._weights.append(weights)
        else:
            self._policy.observe_step(self.view(cache), weights)

    def end_layer(self, cache: LayerCache) -> None:
        """Drop what a layer holds too much as soon as it has attended."""
        if not cache.acts:
            return
        after_prompt = cache.step == 0 and self._policy.chooses_after_prompt(cache.layer)
        waits = self._policy.scope == "model" or self.is_stacked(cache) or after_prompt
        if not waits and self._due(cache.step):
            self._evict(cache)
        if cache.step == 0 and not after_prompt:
            self._pack(cache)

    def end_step(self, step: int) -> None:
        """Drop in the layers whose evictions waited for all of them."""
        if self.stacked is not None:
            self._end_stacked(self.stacked, step)
        elif self._policy.scope == "model" and self._due(step):
            self._evict_alike(self._unwindowed())
        if self._policy.scope == "model" and self._due(step):
            windowed = [cache for cache in self.layers if cache.acts and cache.window is not None]
            for window in {cache.window for cache in windowed}:
                self._evict_alike([cache for cache in windowed if cache.window == window])
        if step == 0:
            for cache in self.layers:
                if self._policy.chooses_after_prompt(cache.layer):
                    self._end_prompt(cache)

    def _end_prompt(self, cache: LayerCache) -> None:
        """Bring a layer down that waited until all have read the prompt, and store the rest."""
        if cache.acts and self._policy.scope != "model" and self._due(0):
            self._evict(cache)
        self._pack(cache)

    def _pack(self, cache: LayerCache) -> None:
        """Store a layer's older entries in the forms of the recipe, once its prompt was reduced."""
        if cache.window is not None or not self._policy.forms or self.more:
            return
        if self._policy.forms[0].alone:
            self._pair(cache, self._policy.forms[0])
            return
        plan = plan_of(self._policy, cache.entries.width("keys"))
        assert plan is not None
        cache.entries = PackedEntries(cache.entries, plan, self._channels.pop(cache.layer, None))

    def _pair(self, upper: LayerCache, form: StorageForm) -> None:
        """Let a layer and the one before share directions, where they are a pair."""
        place = self.layers.index(upper)
        if place - 1 not in form.paired_layers(self._attending):
            return
        lower = self.layers[place - 1]
        if lower.window is not None:
            return
        plan = plan_of(self._policy, upper.entries.width("keys"))
        assert plan is not None
        apart = form.whole_tokens(self.view(lower), self.view(upper))
        lower.entries, upper.entries = paired(lower.entries, upper.entries, plan, apart)

    def free_outside(self, cache: LayerCache) -> None:
        """Free what no later query of a layer with a window can see."""
        assert cache.window is not None
        if cache.acts:
            self._free_by_position(cache, cache.seen + 1 - cache.window)
            return
        outside = max(cache.entries.counts) - (cache.window - 1)
        if outside <= 0:
            return
        gone = [positions.clone() for positions in cache.entries.rows("positions")[:, :outside]]
        self.dropped.append(Dropped(cache.step, cache.layer, gone))
        cache.entries.forget_oldest(outside)

    def _free_by_position(self, cache: LayerCache, oldest: int) -> None:
        """Free what stood before the oldest position that the next query sees."""
        entries = cache.entries
        heads = [entries.head("positions", g) for g in range(entries.groups)]
        gone = [int((own < oldest).sum()) for own in heads]
        if not any(gone):
            return
        lost = [own[:count].clone() for own, count in zip(heads, gone, strict=True)]
        self.dropped.append(Dropped(cache.step, cache.layer, lost))
        if len(set(gone)) == 1:
            entries.forget_oldest(gone[0])
            return
        both = zip(gone, entries.counts, strict=True)
        entries.keep([torch.arange(first, n, device=heads[0].device) for first, n in both])

    def _unwindowed(self) -> list[LayerCache]:
        return [cache for cache in self.layers if cache.window is None]

    def _evict_alike(self, alike: list[LayerCache]) -> None:
        """Drop in layers that hold the same: the score is the same, so the first one chooses."""
        over = [cache for cache in alike if self._over(cache)]
        if over:
            choice = self._policy.kept(self.view(over[0]), over[0].budget)
            for cache in over:
                self._keep(cache, choice)

    def _due(self, step: int) -> bool:
        return self._policy.evicts_at(step, self._budget)

    def _over(self, cache: LayerCache) -> bool:
        return self._policy.over_budget(cache.entries.counts, cache.budget)

    def _evict(self, cache: LayerCache) -> None:
        if self._over(cache):
            self._keep(cache, self._policy.kept(self.view(cache), cache.budget))

    def _end_stacked(self, cache: LayerCache, step: int) -> None:
        """Hand all layers' weights to the policy at once, and drop in all."""
        if self._weights:
            self._policy.observe_step(self.view(cache), torch.cat(self._weights))
            self._weights = []
        if not self._due(step):
            return
        if self._policy.scope != "model":
            self._evict(cache)
        elif self._over(cache):
            first = self.of_layer(cache.layer)
            choice = self._policy.kept(self.view(first), first.budget)
            self._keep(cache, choice.repeated(cache.stacked))

    @staticmethod
    def _merged(entries: Entries, choice: Choice) -> list[Tensor]:
        """Merge as chosen; return where each dropped entry went, by position."""
        assert choice.into is not None
        merge(entries, choice.into)
        found = []
        for g, (rows, kept) in enumerate(zip(choice.into, choice.indices, strict=True)):
            gone = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
            gone[kept] = False
            places, target = entries.head("positions", g), rows[gone]
            found.append(places[target.clamp(min=0)].where(target >= 0, -1))
        return found

    def _keep(self, cache: LayerCache, choice: Choice) -> None:
        entries, scores, among = cache.entries, None, None
        if self.keep_scores and choice.scores is not None:
            among = entries.rows("positions").where(entries.present(), -1)
            scores = choice.scores.clone()  # it may be a view of what is about to move
        merged = None
        if choice.into is not None:
            merged = self._merged(entries, choice)
        for g, values in enumerate(choice.values or ()):
            entries.head("values", g)[:] = values
        positions = entries.keep(choice.indices)
        layers = [cache] if cache.stacked == 1 else self._unwindowed()
        groups = entries.groups // cache.stacked
        for number, layer in enumerate(layers):
            own = slice(number * groups, (number + 1) * groups)
            here, of = (None if rows is None else rows[own] for rows in (scores, among))
            dropped = Dropped(cache.step, layer.layer, positions[own], here, of, merged)
            self.dropped.append(dropped)
        self._rerotation.settle(entries, cache.layer, cache.seen - 1, choice.indices)
