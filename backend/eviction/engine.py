"""One sequence read and continued under a policy: one forward pass per step, entries dropped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from backend.eviction.cache import PassingCache
from backend.eviction.entries import Entries
from backend.eviction.held import Held
from backend.eviction.placing import Placing
from backend.eviction.policy import Policy
from backend.eviction.surprise import surprisal
from backend.instruments import AttentionCall, Recorder, recording
from backend.interventions.layer import Change
from backend.interventions.reading import HELD_WEIGHTS, Reading
from backend.interventions.rotary import rotary_layers
from backend.models.loaded import LoadedModel
from kernels.attention_stats import AttentionStats, Rows, Want, attention_rows, attention_stats
from kernels.decode_attention import decode_attention


@dataclass(frozen=True)
class Dropped:
    """What one eviction took from one layer: G heads, n_g entries each."""

    step: int
    layer: int
    positions: list[Tensor]
    """G original positions [n_g], ascending."""


class Sequence:
    """A text under a policy; feed it tokens, it returns what comes next.

    Args:
        loaded: nobody else uses it meanwhile.
        policy: what stays.
        budget: entries per head right after an eviction.
        seed: of everything drawn at random.
        check: called in every layer; raises to stop.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        policy: Policy,
        budget: int,
        seed: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.loaded, self.budget = loaded, budget
        self.policy = policy = policy.fitted(budget, len(loaded.layers), loaded.context)
        self.layers: list[Held] = []
        self.dropped: list[Dropped] = []
        self.seen = self.step = self.prompt = 0
        self.check = check
        self.random = torch.Generator().manual_seed(seed)
        self.placing = Placing.of(loaded, policy.positions, policy.cap())
        self.rotary = rotary_layers(loaded) if policy.reads_rotation() else None
        self.changes: dict[int, Change] = {}
        self._turns: list[int] = []
        self._surprisal = self._before = torch.empty(0, device=loaded.device)
        self._cache = PassingCache(len(loaded.layers))
        self._recorder = _Keeper(self)

    @property
    def held_bytes(self) -> int:
        """Bytes of all layers' entries."""
        return sum(held.entries.held_bytes for held in self.layers)

    @torch.inference_mode()
    def read(self, ids: list[int]) -> Tensor:
        """Read the tokens after those read before, and return the logits after the last [V].

        The first call reads the prompt; every later one is a decode step, of one token or more.
        """
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
        with recording(self._recorder):
            out = self.loaded.model.base_model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=positions[None],
                past_key_values=self._cache,
                use_cache=True,
            )
        self._cache.advance(len(ids))
        if self.policy.reads_surprisal:
            self._hear(ids, out.last_hidden_state[0])
        if self.policy.scope == "model":
            self._evict_together()
        return self.loaded.unembed(out.last_hidden_state[0, -1])

    def due(self) -> bool:
        """Whether entries are dropped at this step."""
        if self.policy.when == "never" or (self.policy.when == "prefill" and self.step):
            return False
        return self.step % self.policy.every(self.budget) == 0

    def evict(self, held: Held) -> None:
        """Bring one layer down to its budget."""
        if max(held.entries.counts) > held.budget:
            self._keep(held, self.policy.kept(held, held.budget))

    def _hear(self, ids: list[int], hidden: Tensor) -> None:
        """Add the surprisal of ``ids``; the state [D] before them predicts the first."""
        if self.step:
            before = torch.cat((self._before, hidden[:-1]))
            heard = surprisal(self.loaded, before, ids)
        else:
            unknown = torch.full((1,), float("nan"), device=hidden.device)
            heard = torch.cat((unknown, surprisal(self.loaded, hidden[:-1], ids[1:])))
        self._before = hidden[-1:].clone()
        self._surprisal = torch.cat((self._surprisal, heard))
        for held in self.layers:
            held.surprisal, held.turns = self._surprisal, tuple(self._turns)

    def _evict_together(self) -> None:
        """Let the first layer choose for all, where its score is the same in every layer."""
        if not self.due():
            return
        over = [held for held in self.layers if max(held.entries.counts) > held.budget]
        if over:
            kept = self.policy.kept(over[0], over[0].budget)
            for held in over:
                self._keep(held, kept)

    def _keep(self, held: Held, kept: list[Tensor]) -> None:
        entries = held.entries
        positions = []
        for g, rows in enumerate(kept):
            gone = torch.ones(entries.counts[g], dtype=torch.bool, device=rows.device)
            gone[rows] = False
            positions.append(entries.head("positions", g)[gone].clone())
        self.dropped.append(Dropped(self.step, held.layer, positions))
        entries.keep(kept)
        self.placing.settle(entries, held.layer)


class _Keeper(Recorder):
    """Attends over the entries of each layer, tells the policy, and drops what is over budget."""

    def __init__(self, sequence: Sequence) -> None:
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
        if policy.scope != "model" and run.due():
            run.evict(held)
        held.queries = None
        return out[None]

    def _prefill(self, call: AttentionCall) -> tuple[Tensor, Held]:
        run, policy = self._run, self._run.policy
        out, stats = self._read(call)
        entries = Entries(call.k[0], call.v[0], run.positions)
        held = Held(
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
        )
        run.layers.append(held)
        policy.prefilled(held, stats)
        held.rows = None
        return out, held

    def _read(self, call: AttentionCall) -> tuple[Tensor, AttentionStats]:
        """Attend over the prompt: as the model does, or as the policy changes it."""
        run = self._run
        if call.layer in run.changes:
            changed = Reading({call.layer: run.changes[call.layer]}, lambda _: run.check())
            return changed.attend(call)[0], AttentionStats()
        wanted = run.policy.want(call.q.shape[2])
        return attention_stats(
            call.q[0],
            call.k[0],
            call.v[0],
            scaling=call.scaling,
            want=wanted if isinstance(wanted, Want) else Want(),
            offset=0,
            window=call.window,
            softcap=call.softcap,
            sinks=call.sinks,
        )

    def _decode(self, call: AttentionCall) -> tuple[Tensor, Held]:
        run, policy = self._run, self._run.policy
        held = run.layers[call.layer]
        held.step, held.seen, held.queries = run.step, run.seen, call.q[0]
        entries = held.entries
        entries.append(call.k[0], call.v[0], run.positions)
        run.placing.before(entries, call.layer, run.seen - 1)
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
            want_weights=policy.watches,
        )
        if weights is not None:
            policy.stepped(held, weights)
        return out, held


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
