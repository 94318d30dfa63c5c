"""One sequence read and continued under a policy: one forward pass per step, entries dropped."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries, repeated
from tokenarium.backend.cache.layer_cache import LayerCache
from tokenarium.backend.cache.narrowing import Narrowing
from tokenarium.backend.cache.passing_cache import PassingCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.rerotation import Rerotation
from tokenarium.backend.cache.stacked_layers import joined
from tokenarium.backend.cache.surprisal import surprisal, told
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.observe.layer import Change, Layer
from tokenarium.backend.observe.reading import HELD_WEIGHTS, Reading
from tokenarium.backend.observe.rotary import rotary_layers
from tokenarium.kernels.attention_stats import (
    AttentionStats,
    Rows,
    Want,
    attention_rows,
    attention_stats,
)
from tokenarium.kernels.decode_attention import decode_attention
from tokenarium.kernels.gather_attention import gather_attention


@dataclass(frozen=True)
class Dropped:
    """What one eviction took from one layer: G heads, n_g entries each."""

    step: int
    layer: int
    positions: list[Tensor]
    """G original positions [n_g], ascending."""
    scores: Tensor | None = None
    """[G, S] what the policy made of all entries; where asked for, and where it scores."""
    among: Tensor | None = None
    """[G, S] the original positions that were scored; -1 after a head's last."""


@dataclass(frozen=True)
class Selected:
    """What the queries of a step read in one layer, where that was not everything."""

    positions: list[Tensor]
    """G original positions [n_g], ascending."""
    scores: Tensor | None = None
    """[G, S] what all entries were chosen by; where asked for."""


class CachedSequence:
    """A text under a policy; feed it tokens, it returns what comes next.

    Args:
        loaded: nobody else uses it meanwhile.
        policy: what stays.
        budget: entries per head right after an eviction.
        seed: of everything drawn at random.
        check: called in every layer; raises to stop.
        keep_scores: whether ``dropped`` tells the scores too.
        free_windows: whether layers with a window of their own free what leaves it.
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
        keep_scores: bool = False,
        free_windows: bool = True,
    ) -> None:
        self.loaded, self.budget = loaded, budget
        self.keep_scores, self.free_windows = keep_scores, free_windows
        self.policy = policy = policy.fitted(budget, len(loaded.layers), loaded.context)
        refuse_below(policy, budget)
        self.layers: list[LayerCache] = []
        self.dropped: list[Dropped] = []
        self.selected: dict[int, Selected] = {}  # by layer, of the newest step
        self.shared: dict[str, Any] = {}
        self.seen = self.step = self.prompt = 0
        self.check = check
        self.random = torch.Generator().manual_seed(seed)
        self.placing = Rerotation.of(loaded, policy.positions, policy.cap())
        self.rotary = rotary_layers(loaded) if policy.reads_rotation() else None
        self.narrowing = Narrowing(loaded) if policy.narrows else None
        self.changes: dict[int, Change] = {}
        self._turns: list[int] = []
        self._surprisal = self._told = torch.empty(0, device=loaded.device)
        self._cache = PassingCache(len(loaded.layers))
        self._joined: LayerCache | None = None
        self._weights: list[Tensor] = []  # of this step, of the layers that are joined

    @property
    def held_bytes(self) -> int:
        """Bytes of all layers' entries."""
        return sum(held.entries.held_bytes for held in self.layers)

    @property
    def state_bytes(self) -> int:
        """Bytes of what the policy remembers apart from entries."""
        several = (self.shared, *(held.memory for held in self.layers))
        heard = [self._surprisal, self._told]
        kept: list[Any] = [*heard, *(own for memory in several for own in memory.values())]
        storages = (one.untyped_storage() for own in kept for one in _tensors(own))
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    @property
    def left_alone(self) -> tuple[int, ...]:
        """Layers that see a window only: no policy acts there, what leaves the window is freed."""
        return tuple(held.layer for held in self.layers if held.window is not None)

    @torch.inference_mode()
    def read(self, ids: list[int]) -> Tensor:
        """Read the tokens after those read before, and return the logits after the last [V].

        The first call reads the prompt; every later one is a decode step, of one token or more.
        """
        return self._tell(self._forward(ids)[-1:])[0]

    @torch.inference_mode()
    def read_each(self, ids: list[int]) -> Tensor:
        """Read as ``read`` does, and return the logits after every token [n, V]."""
        return self._tell(self._forward(ids))

    def _tell(self, hidden: Tensor) -> Tensor:
        """Return the logits [n, V] after states [n, D]; the last predict the next token."""
        logits: Tensor = self.loaded.unembed(hidden)
        if self.policy.reads_surprisal:
            self._told = logits[-1:].clone()
        return logits

    def rewind(self) -> None:
        """Go back to the end of the prompt; only where nothing was dropped since."""
        since = self.seen - self.prompt
        assert self._joined is None, "entries are joined where some are dropped"
        for held in self.layers:
            held.entries.forget_newest(since)
        self._cache.advance(-since)
        self.seen, self.step = self.prompt, 0

    def _forward(self, ids: list[int]) -> Tensor:
        """Return the final states [n, hidden] of the tokens."""
        device = self.loaded.device
        first = self.seen == 0
        if first:
            self.prompt = len(ids)
            self.changes = self.policy.reads(self.loaded, self.budget, len(ids))
        if first or len(ids) > 1:
            self._turns.append(self.seen)
        self.step += 0 if first else 1
        self.seen += len(ids)
        positions = torch.arange(self.seen - len(ids), self.seen, device=device)
        self.positions = positions
        self.selected = {}
        if not first:
            self._open(positions)
        narrowed = self.narrowing.over(len(ids)) if first and self.narrowing else nullcontext()
        # Made anew each time: kept, it would hold this and all its entries in a cycle.
        with recording(_Keeper(self)), narrowed:
            out = self.loaded.body(
                input_ids=torch.tensor([ids], device=device),
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
            )
        self._cache.advance(len(ids))
        if self.policy.reads_surprisal:
            self._hear(ids, out.last_hidden_state[0])
        if self._joined is not None:
            self._step_joined(self._joined)
        elif self.policy.scope == "model":
            self._evict_together()
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _open(self, positions: Tensor) -> None:
        """Join the layers at the first step, where the policy allows, and make room in all."""
        acting = [held for held in self.layers if held.window is None]
        if self.step == 1 and self._joined is None:
            self._joined = joined(acting, self.policy, self.placing)
        if self._joined is None:
            return
        held = self._joined
        held.step, held.seen = self.step, self.seen
        held.entries.open(positions)
        self._weights = []
        self.placing.before(held.entries, held.layer, self.seen - 1)

    def is_joined(self, held: LayerCache) -> bool:
        """Whether a layer's scores and evictions wait for those of the others."""
        return self._joined is not None and held.window is None

    def watch(self, held: LayerCache, weights: Tensor) -> None:
        """Tell the policy of a layer's weights [H, n, S], or keep them until all are there."""
        if self.is_joined(held) and weights.shape[1] == 1:
            self._weights.append(weights)
        else:
            self.policy.stepped(held, weights)

    def _step_joined(self, held: LayerCache) -> None:
        """Tell the policy of all layers' weights at once, and drop in all."""
        if self._weights:
            self.policy.stepped(held, torch.cat(self._weights))
            self._weights = []
        if not self.due():
            return
        if self.policy.scope != "model":
            self.evict(held)
            return
        if self._over(held):
            first = self.layers[held.layer]
            kept = repeated(self.policy.kept(first, first.budget), held.joined)
            if first.scored is not None:
                held.scored = first.scored.repeat(held.joined, 1)
            first.scored = None
            self._keep(held, kept)

    def due(self) -> bool:
        """Whether entries are dropped at this step."""
        return self.policy.due(self.step, self.budget)

    def evict(self, held: LayerCache) -> None:
        """Bring one layer down to its budget."""
        if self._over(held):
            self._keep(held, self.policy.kept(held, held.budget))

    def _over(self, held: LayerCache) -> bool:
        """Whether a layer holds more than its budget: some head, or all together where ragged."""
        return self.policy.over(held.entries.counts, held.budget)

    def _hear(self, ids: list[int], hidden: Tensor) -> None:
        """Add the surprisal of ``ids``; the logits told before them predict the first."""
        if self.step:
            heard = told(self._told, torch.tensor(ids[:1], device=hidden.device))
        else:
            heard = torch.full((1,), float("nan"), device=hidden.device)
        if len(ids) > 1:
            heard = torch.cat((heard, surprisal(self.loaded, hidden[:-1], ids[1:])))
        self._surprisal = torch.cat((self._surprisal, heard))
        for held in self.layers:
            held.surprisal, held.turns = self._surprisal, tuple(self._turns)

    def _evict_together(self) -> None:
        """Let the first layer choose for all, where its score is the same in every layer."""
        if not self.due():
            return
        over = [held for held in self.layers if held.window is None and self._over(held)]
        if over:
            kept = self.policy.kept(over[0], over[0].budget)
            scores = over[0].scored
            for held in over:
                held.scored = scores
                self._keep(held, kept)

    def _keep(self, held: LayerCache, kept: Sequence[Tensor]) -> None:
        entries, scores, among = held.entries, held.scored, None
        held.scored = None
        if self.keep_scores and scores is not None:
            among = entries.rows("positions").where(entries.held(), -1)
            scores = scores.clone()  # it may be a view of what is about to move
        else:
            scores = None
        positions = entries.keep(kept)
        acting = [held] if held.joined == 1 else [o for o in self.layers if o.window is None]
        groups = entries.groups // held.joined
        for number, layer in enumerate(acting):
            own = slice(number * groups, (number + 1) * groups)
            told = [None if rows is None else rows[own] for rows in (scores, among)]
            self.dropped.append(Dropped(self.step, layer.layer, positions[own], *told))
        self.placing.settle(entries, held.layer, self.seen - 1, kept)

    def free_outside(self, held: LayerCache) -> None:
        """Free what no later query of a layer with a window can see."""
        assert held.window is not None
        outside = max(held.entries.counts) - (held.window - 1)
        if outside <= 0 or not self.free_windows:
            return
        gone = [positions.clone() for positions in held.entries.rows("positions")[:, :outside]]
        self.dropped.append(Dropped(self.step, held.layer, gone))
        held.entries.forget_oldest(outside)


class _Keeper(Recorder):
    """Attends over the entries of each layer, tells the policy, and drops what is over budget."""

    def __init__(self, sequence: CachedSequence) -> None:
        super().__init__()
        self._run = sequence

    def attend(self, call: AttentionCall) -> Tensor:
        run, policy = self._run, self._run.policy
        run.check()
        if call.mask is not None or call.q.shape[0] != 1:
            raise ValueError("a padded batch has no cache to evict from: give one text at a time")
        if run.step == 0:
            out, held = self._prefill(call)
        else:
            out, held = self._decode(call)
        if held.window is not None:
            run.free_outside(held)
        elif policy.scope != "model" and run.due() and not run.is_joined(held):
            run.evict(held)
        held.queries = None
        return out[None]

    def _prefill(self, call: AttentionCall) -> tuple[Tensor, LayerCache]:
        run, policy = self._run, self._run.policy
        out, stats = self._read(call)
        entries = Entries(call.k[0], call.v[0], self._gone_on(call))
        held = LayerCache(
            layer=call.layer,
            layers=len(run.loaded.layers),
            entries=entries,
            heads=call.q.shape[1],
            reduction=policy.reduction,
            random=run.random,
            prompt=run.prompt,
            budget=policy.budgets(run.budget, len(run.loaded.layers), run.prompt)[call.layer],
            seen=run.seen,
            queries=call.q[0],
            scaling=call.scaling,
            rotary=run.rotary[call.layer] if run.rotary else None,
            rows=partial(_last_rows, call),
            window=call.declared_window,
            shared=run.shared,
        )
        run.layers.append(held)
        if held.window is None:
            policy.prefilled(held, stats)
        held.rows = None
        if run.narrowing is not None and run.narrowing.kept is None:
            run.narrowing.kept = policy.goes_on(held)
        return out, held

    def _gone_on(self, call: AttentionCall) -> Tensor:
        """Return the positions [T] of the prompt's tokens in a layer; the others are gone there."""
        run = self._run
        if run.narrowing is None or run.narrowing.kept is None:
            return run.positions
        gone = torch.ones_like(run.positions, dtype=torch.bool)
        gone[run.narrowing.kept] = False
        lost = [run.positions[gone]] * call.k.shape[1]
        run.dropped.append(Dropped(run.step, call.layer, lost))
        return run.positions[run.narrowing.kept]

    def _read(self, call: AttentionCall) -> tuple[Tensor, AttentionStats]:
        """Attend over the prompt: as the model does, or as the policy changes it."""
        run = self._run
        if call.layer in run.changes and call.declared_window is None:
            change = run.changes[call.layer]
            if change.whole is not None:
                return change.whole(Layer.of(call, None), run.check), AttentionStats()
            changed = Reading({call.layer: change}, lambda _: run.check())
            return changed.attend(call)[0], AttentionStats()
        wanted = Want() if call.declared_window else run.policy.want(call.q.shape[2])
        return attention_stats(
            call.q[0],
            call.k[0],
            call.v[0],
            scaling=call.scaling,
            want=wanted,
            offset=0,
            window=call.window,
            softcap=call.softcap,
            sinks=call.sinks,
        )

    def _decode(self, call: AttentionCall) -> tuple[Tensor, LayerCache]:
        run, policy = self._run, self._run.policy
        held = run.layers[call.layer]
        held.step, held.seen, held.queries = run.step, run.seen, call.q[0]
        entries, alone = held.entries, held.window is not None
        if run.is_joined(held):
            entries.fill(call.k[0], call.v[0])
        else:
            entries.append(call.k[0], call.v[0], run.positions)
        if not alone:
            if not run.is_joined(held):
                run.placing.before(entries, call.layer, run.seen - 1)
            chosen = policy.selects(held)
            if chosen is not None:
                return self._choice(call, held, chosen), held
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
            want_weights=policy.watches and not alone,
        )
        if weights is not None:
            run.watch(held, weights)
        return out, held

    def _choice(self, call: AttentionCall, held: LayerCache, chosen: Sequence[Tensor]) -> Tensor:
        """Attend over the chosen entries, and note which they were."""
        run, entries = self._run, held.entries
        positions = [entries.head("positions", g)[rows] for g, rows in enumerate(chosen)]
        scores, held.scored = held.scored if run.keep_scores else None, None
        run.selected[call.layer] = Selected(positions, scores)
        return gather_attention(
            call.q[0],
            entries.buffers["keys"],
            entries.buffers["values"],
            entries.starts,
            entries.counts,
            chosen,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
        )[0]


def refuse_below(policy: Policy, budget: int) -> None:
    """Refuse a budget that is smaller than what the policy always keeps.

    Raises:
        ValueError: naming the smallest budget.
    """
    least = policy.smallest_budget()
    if policy.label != "nothing" and budget < least:
        raise ValueError(
            f"budget={budget} tokens per head is below the {least} that {policy.title} needs with "
            f"these parameters: raise budget to at least {least}"
        )


def _tensors(given: Any) -> Iterator[Tensor]:
    """Yield the tensors in a value, also inside lists, tuples and dictionaries."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from _tensors(tuple(given.values()))
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _tensors(one)


def _last_rows(call: AttentionCall, last: int) -> Iterator[Rows]:
    """Yield the weights of the last so many queries (all there are, where fewer)."""
    length = call.q.shape[2]
    first = max(0, length - last)
    return attention_rows(
        call.q[0, :, first:],
        call.k[0],
        scaling=call.scaling,
        offset=first,
        window=call.window,
        softcap=call.softcap,
        sinks=call.sinks,
        block=max(1, min(128, HELD_WEIGHTS // (call.q.shape[1] * length))),
    )
