"""One text read and continued under a policy: one forward pass a step, entries really dropped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.biased_keys import biases_of_entries, refuse_biased
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.evictions import Dropped, Evictor, Selected
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.layer_view import Choice, storage_bytes
from tokenarium.backend.cache.passing_cache import PassingCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_pruning import PromptPruner
from tokenarium.backend.cache.rerotation import Rerotation
from tokenarium.backend.cache.surprisal import SurprisalTrack
from tokenarium.backend.cache.window_attention import attend_within
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.observe.layer import Change, Layer
from tokenarium.backend.observe.reading import HELD_WEIGHTS, Reading
from tokenarium.kernels.attention_stats import (
    AttentionStats,
    Rows,
    Want,
    attention_rows,
    attention_stats,
)
from tokenarium.kernels.decode_attention import decode_attention
from tokenarium.kernels.gather_attention import gather_attention


class CachedSequence:
    """A text under a policy; feed it tokens, it returns what comes next.

    Args:
        loaded: nobody else uses it meanwhile.
        policy: what stays.
        budget: entries per head right after an eviction.
        seed: of everything drawn at random.
        check: called in every layer; raises to stop.
        free_windows: whether layers with a window of their own free what leaves it.
        probed: False believes that the model goes on from its states: for the trial that finds out.
    Raises:
        ValueError: if the budget is below what the policy needs, or the model does not place its
            tokens as the policy asks, or cannot go on with some of them.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        policy: Policy,
        budget: int,
        seed: int = 0,
        check: Callable[[], None] = lambda: None,
        free_windows: bool = True,
        probed: bool = True,
    ) -> None:
        self.loaded, self.budget, self.free_windows = loaded, budget, free_windows
        self.attending = attention_layers(loaded.model.config)
        self.policy = policy = policy.fitted(budget, len(self.attending), loaded.context)
        policy.refuse_below_smallest(budget)
        self.seen = self.step = self.prompt = 0
        self.check = check
        self.random = torch.Generator().manual_seed(seed)
        self.needs = policy.all_needs()
        self.rerotation = Rerotation.of(loaded, policy.positions, policy.distance_cap())
        self.evictor = Evictor(policy, budget, self.rerotation)
        self.layers, self.dropped = self.evictor.layers, self.evictor.dropped
        self.selected: dict[int, Selected] = {}  # by layer, of the newest step
        self.shared: dict[str, Any] = {}
        self.rotary = capabilities.rotary(loaded) if "rotary" in self.needs else None
        self.pruner = PromptPruner(loaded) if policy.prunes_prompt else None
        self.surprisal = SurprisalTrack(loaded) if "surprisal" in self.needs else None
        self.changes: dict[int, Change] = {}
        # What transformers is given as one.
        self.cache = PassingCache(loaded.model, len(loaded.layers))
        if probed and self.cache.has_states:
            capabilities.refuse_unless_continues(loaded, self._trial)
        self._states: list[dict[str, Any]] = []  # of the prompt's end, to go back to

    @property
    def keep_scores(self) -> bool:
        """Whether the scores of what is dropped, or not read, are noted too."""
        return self.evictor.keep_scores

    @keep_scores.setter
    def keep_scores(self, keep: bool) -> None:
        self.evictor.keep_scores = keep

    @property
    def cache_bytes(self) -> int:
        """Bytes of all layers' entries."""
        return sum(cache.entries.nbytes for cache in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of what the policy remembers apart from entries."""
        kept: list[Any] = [self.shared, *(cache.memory for cache in self.layers)]
        if self.surprisal is not None:
            kept += [self.surprisal.values, self.surprisal.last_logits]
        return storage_bytes(kept)

    @property
    def windowed_layers(self) -> tuple[int, ...]:
        """Layers whose queries see a window only; what leaves it is freed."""
        return tuple(cache.layer for cache in self.layers if cache.window is not None)

    def _trial(self, parts: Sequence[list[int]]) -> Tensor:
        """Return the logits after each part of a text that a full cache reads part by part.

        Another text is read in between, which must change nothing.
        """
        full = Policy.registry.find("full")()
        own, other = (CachedSequence(self.loaded, full, 1, probed=False) for _ in range(2))
        found = []
        for part in parts:
            found.append(own.read(part))
            other.read(part[::-1])
        return torch.stack(found)

    @torch.inference_mode()
    def read(self, ids: list[int]) -> Tensor:
        """Read the tokens after those read before, and return the logits after the last [V].

        The first call reads the prompt; every later one is a decode step, of one token or more.
        """
        return self._logits(self._forward(ids)[-1:])[0]

    @torch.inference_mode()
    def read_each(self, ids: list[int]) -> Tensor:
        """Read as ``read`` does, and return the logits after every token [n, V].

        They are NaN after tokens of a prompt whose later states a policy leaves out.
        """
        first = self.seen == 0
        hidden = self._forward(ids)
        kept = self.pruner.kept if first and self.pruner is not None else None
        if kept is None:
            return self._logits(hidden)
        known = self._logits(hidden[kept])
        return known.new_full((len(ids), known.shape[1]), float("nan")).index_copy(0, kept, known)

    def rewind(self) -> None:
        """Go back to the end of the prompt; only where nothing was dropped since."""
        since = self.seen - self.prompt
        assert self.evictor.stacked is None, "layers are stacked where some entries are dropped"
        for cache in self.layers:
            cache.entries.forget_newest(since)
        self.cache.advance(-since)
        self.cache.restore(self._states)
        self.seen, self.step = self.prompt, 0

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [n, V] after states [n, D]; the last predict the next token."""
        logits: Tensor = self.loaded.unembed(hidden)
        if self.surprisal is not None:
            self.surprisal.last_logits = logits[-1:].clone()
        return logits

    def _forward(self, ids: list[int]) -> Tensor:
        """Return the final states [n, D] of the tokens."""
        device = self.loaded.device
        first = self.seen == 0
        if first:
            self.prompt = len(ids)
            self.changes = self.policy.patches_prefill(self.loaded, self.budget, len(ids))
        if self.policy.positions != "original":
            refuse_crossing(
                self.loaded,
                self.prompt,
                self.seen + len(ids),
                f"choose a policy that leaves positions as they are, as {self.policy.title} does "
                "not, shorten the prompt or ask for fewer tokens",
            )
        self.step += 0 if first else 1
        self.seen += len(ids)
        positions = torch.arange(self.seen - len(ids), self.seen, device=device)
        self.positions = positions
        self.selected = {}
        if not first:
            self.evictor.open_step(self.step, self.seen, positions)
        pruned = self.pruner.over(len(ids)) if first and self.pruner else nullcontext()
        # Made anew each time: kept, it would hold this and all its entries in a cycle.
        with recording(_CacheRecorder(self)), pruned:
            out = self.loaded.body(
                input_ids=torch.tensor([ids], device=device),
                position_ids=positions[None],
                past_key_values=self.cache,
                use_cache=True,
            )
        self.cache.advance(len(ids))
        hidden: Tensor = out.last_hidden_state[0]
        if self.surprisal is not None:
            self.surprisal.add(ids, hidden)
            for cache in self.layers:
                cache.surprisal, cache.turns = self.surprisal.values, tuple(self.surprisal.turns)
        if first and not self.free_windows:
            self._states = self.cache.states()
        self.evictor.end_step(self.step)
        return hidden


class _CacheRecorder(Recorder):
    """Attends over the entries of each layer, shows the policy, and drops what is over budget."""

    def __init__(self, run: CachedSequence) -> None:
        super().__init__()
        self._run = run

    def attend(self, call: AttentionCall) -> Tensor:
        run = self._run
        run.check()
        call = call.newest()
        if call.q.shape[0] != 1:
            raise ValueError("a batch has no cache to evict from: give one text at a time")
        if call.mask is not None:
            raise ValueError(
                f"what layer {call.layer} sees is no window (chunks, keys that the model chooses, "
                "or padding), which a cache cannot follow: give one text without padding, shorter "
                "than a chunk, or choose a model with full or sliding-window attention"
            )
        refuse_biased(run.policy, call)
        out, cache = self._prefill(call) if run.step == 0 else self._decode(call)
        if cache.window is not None and run.free_windows:
            run.evictor.free_outside(cache)
        run.evictor.end_layer(cache)
        cache.queries = None
        return out[None]

    def _prefill(self, call: AttentionCall) -> tuple[Tensor, LayerCache]:
        run, policy = self._run, self._run.policy
        budgets = policy.layer_budgets(run.budget, len(run.attending), run.prompt)
        budget = budgets[run.attending.index(call.layer)]
        acts = policy.acts_within(call.declared_window, budget)
        # An oracle frees nothing, so that its windows are what its kernels see.
        acts = acts and (call.declared_window is None or run.free_windows)
        out, stats = self._attend_prompt(call, acts)
        cache = LayerCache(
            layer=call.layer,
            entries=Entries(call.k[0], call.v[0], self._positions_kept(call)),
            heads=call.q.shape[1],
            reduction=policy.reduction,
            random=run.random,
            prompt=run.prompt,
            budget=budget,
            seen=run.seen,
            queries=call.q[0],
            scaling=call.scaling,
            rotary=run.rotary[call.layer] if run.rotary else None,
            rows=partial(_last_rows, call),
            window=call.declared_window,
            acts=acts,
            shared=run.shared,
        )
        run.layers.append(cache)
        view = run.evictor.view(cache)
        if acts:
            policy.observe_prompt(view, stats)
        cache.rows = None
        if run.pruner is not None and run.pruner.kept is None:
            run.pruner.kept = policy.prompt_kept(view)
        return out, cache

    def _positions_kept(self, call: AttentionCall) -> Tensor:
        """Return the positions [T] of the prompt's tokens in a layer; note which are left out."""
        run = self._run
        if run.pruner is None or run.pruner.kept is None:
            return run.positions
        gone = torch.ones_like(run.positions, dtype=torch.bool)
        gone[run.pruner.kept] = False
        lost = [run.positions[gone]] * call.k.shape[1]
        run.dropped.append(Dropped(run.step, call.layer, lost))
        return run.positions[run.pruner.kept]

    def _attend_prompt(self, call: AttentionCall, acts: bool) -> tuple[Tensor, AttentionStats]:
        """Attend over the prompt: as the model does, or as the policy changes it."""
        run = self._run
        if call.layer in run.changes and call.declared_window is None:
            change = run.changes[call.layer]
            if change.whole is not None and call.key_bias is None:
                return change.whole(Layer.of(call, None), run.check), AttentionStats()
            changed = Reading({call.layer: change}, lambda _: run.check())
            return changed.attend(call)[0], AttentionStats()
        wanted = run.policy.want(call.q.shape[2]) if acts else Want()
        return attention_stats(replace(call.inputs(), offset=0), wanted)

    def _decode(self, call: AttentionCall) -> tuple[Tensor, LayerCache]:
        run, evictor = self._run, self._run.evictor
        cache = evictor.of_layer(call.layer)
        cache.step, cache.seen, cache.queries = run.step, run.seen, call.q[0]
        entries, acts = cache.entries, cache.acts
        if evictor.is_stacked(cache):
            entries.fill(call.k[0], call.v[0])
        else:
            entries.append(call.k[0], call.v[0], run.positions)
        if acts:
            if not evictor.is_stacked(cache):
                run.rerotation.before(entries, call.layer, run.seen - 1)
            choice = run.policy.selects(evictor.view(cache))
            if choice is not None:
                return self._attend_selected(call, entries, choice), cache
        wants = "attention" in run.needs and acts
        if acts and cache.window is not None:
            out, weights = attend_within(call, entries, run.positions, cache.window, wants)
        else:
            out, weights = decode_attention(
                call.q[0],
                entries.buffers["keys"],
                entries.buffers["values"],
                entries.starts,
                entries.counts,
                scaling=call.scaling,
                softcap=call.softcap,
                sinks=call.sinks,
                window=call.window,
                bias=biases_of_entries(call, entries),
                want_weights=wants,
            )
        if weights is not None:
            evictor.observe(cache, weights)
        return out, cache

    def _attend_selected(self, call: AttentionCall, entries: Entries, choice: Choice) -> Tensor:
        """Attend over the chosen entries, and note which they were."""
        run = self._run
        chosen = enumerate(choice.indices)
        positions = [entries.head("positions", g)[indices] for g, indices in chosen]
        scores = choice.scores if run.keep_scores else None
        run.selected[call.layer] = Selected(positions, scores)
        return gather_attention(
            call.q[0],
            entries.buffers["keys"],
            entries.buffers["values"],
            entries.starts,
            entries.counts,
            choice.indices,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
        )[0]


def _last_rows(call: AttentionCall, last: int) -> Iterator[Rows]:
    """Yield the weights of the last so many queries (all there are, where fewer)."""
    length = call.q.shape[2]
    first = max(0, length - last)
    inputs = call.inputs()
    mask = None if inputs.mask is None else inputs.mask[:, first:]
    inputs = replace(inputs, q=inputs.q[:, first:], offset=first, mask=mask)
    return attention_rows(inputs, max(1, min(128, HELD_WEIGHTS // (call.q.shape[1] * length))))
