"""What happens in each layer of a forward pass over a cache."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tokenarium.backend.cache import merging
from tokenarium.backend.cache.biased_keys import biases_of_entries, refuse_biased
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.evictions import Dropped, Selected
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.layer_view import Choice
from tokenarium.backend.cache.shared_passes import ModelPass, Noting
from tokenarium.backend.cache.window_attention import attend_within
from tokenarium.backend.observe import AttentionCall, Recorder
from tokenarium.backend.observe.layer import Layer
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

if TYPE_CHECKING:
    from tokenarium.backend.cache.engine import CachedSequence


class CacheRecorder(Recorder):
    """Attends over the entries of each layer, shows the policy, and drops what is over budget.

    Args:
        run: the text that is read.
        noting: takes down what the layers see, for others that read the same.
    """

    def __init__(self, run: "CachedSequence", noting: Noting | None = None) -> None:
        super().__init__()
        self._run, self._noting = run, noting

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the outputs [1, Hq, n, D] of a layer's attention over its entries.

        Raises:
            ValueError: if the layer sees what a cache cannot follow.
        """
        if self._noting is None:
            return self._attended(call)
        start = time.perf_counter()
        self._noting.see(call.newest())
        out = self._attended(call)
        self._noting.attention_ms += (time.perf_counter() - start) * 1e3
        return out

    def replay(self, made: ModelPass) -> Tensor:
        """Let every layer see what it saw in a pass that was made, and return the states [n, D]."""
        for call in made.calls:
            self._attended(call)
        return made.hidden

    def _attended(self, call: AttentionCall) -> Tensor:
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
        out, cache = self._prefill(call) if run.part == 0 else self._decode(call)
        if run.step == 0 and not run.more:
            run.evictor.choose_channels(cache)
        if cache.acts:
            out = run.policy.outputs(run.evictor.view(cache), out)
        if cache.window is not None and run.free_windows:
            run.evictor.free_outside(cache)
        run.note_most()
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
            whole_budget=run.budget,
            roles=run.roles,
            seen=run.seen,
            queries=call.q[0],
            scaling=call.scaling,
            rotary=run.rotary[call.layer] if run.rotary else None,
            rows=partial(_last_rows, call),
            window=call.declared_window,
            acts=acts,
            shared=run.shared,
        )
        if policy.label == "merge" and acts:
            merging.begin(cache.entries)
        run.layers.append(cache)
        view = run.evictor.view(cache)
        if acts:
            policy.observe_prompt(view, stats)
        cache.rows = None
        if run.pruner is not None and (going := policy.prompt_kept(view)) is not None:
            run.pruner.kept = going
        return out, cache

    def _positions_kept(self, call: AttentionCall) -> Tensor:
        """Return the positions [T] of the prompt's tokens in a layer; note which are left out."""
        run = self._run
        if run.pruner is None or run.pruner.kept is None:
            return run.positions
        gone = torch.ones_like(run.positions, dtype=torch.bool)
        gone[run.pruner.kept] = False
        lost, into = [run.positions[gone]] * call.k.shape[1], None
        if run.pruner.into is not None:
            into = [run.positions[run.pruner.into[gone]]] * call.k.shape[1]
        run.dropped.append(Dropped(run.step, call.layer, lost, into=into))
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
        # An oracle acts in no layer with a window, and looks at all of them.
        needed = run.watches_parts if run.step == 0 else "attention" in run.needs
        wants = needed and (acts or not run.free_windows)
        if acts and cache.window is not None:
            out, weights = attend_within(call, entries, run.positions, cache.window, wants)
        else:
            out, weights = decode_attention(
                call.q[0],
                entries.attended("keys"),
                entries.attended("values"),
                entries.starts,
                entries.counts,
                scaling=call.scaling,
                softcap=call.softcap,
                sinks=call.sinks,
                window=call.window,
                bias=biases_of_entries(call, entries),
                want_weights=wants,
            )
        if run.step == 0 and acts:
            run.policy.observe_part(evictor.view(cache), weights)
        elif weights is not None:
            evictor.observe(cache, weights)
        return out, cache

    def _attend_selected(self, call: AttentionCall, entries: Entries, choice: Choice) -> Tensor:
        """Attend over the chosen entries, and note which they were."""
        run = self._run
        scores = choice.scores if run.keep_scores else None
        told = replace(choice, products=None, scores=None)
        run.selected[call.layer] = Selected(entries, told, scores)
        return gather_attention(
            call.q[0],
            entries.attended("keys"),
            entries.attended("values"),
            entries.starts,
            entries.counts,
            choice.indices,
            block=choice.block,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
            products=choice.products,
        )[0]


def _last_rows(call: AttentionCall, last: int) -> Iterator[Rows]:
    """Yield the weights of the last so many queries (all there are, where fewer)."""
    length = call.q.shape[2]
    first = max(0, length - last)
    inputs = call.inputs()
    mask = None if inputs.mask is None else inputs.mask[:, first:]
    inputs = replace(inputs, q=inputs.q[:, first:], offset=first, mask=mask)
    return attention_rows(inputs, max(1, min(128, HELD_WEIGHTS // (call.q.shape[1] * length))))
