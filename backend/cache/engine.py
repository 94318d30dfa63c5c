"""One text read and continued under a policy: one forward pass a step, entries really dropped."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.evictions import Evictor, Selected
from tokenarium.backend.cache.head_roles import head_roles
from tokenarium.backend.cache.layer_view import storage_bytes
from tokenarium.backend.cache.passing_cache import PassingCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_parts import parts_of, refuse_parts
from tokenarium.backend.cache.prompt_pruning import PromptPruner
from tokenarium.backend.cache.recorder import CacheRecorder
from tokenarium.backend.cache.rerotation import Rerotation
from tokenarium.backend.cache.shared_passes import Noting, SharedPasses, Trail
from tokenarium.backend.cache.storage_form import needs_of
from tokenarium.backend.cache.surprisal import SurprisalTrack
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.observe import recording
from tokenarium.backend.observe.layer import Change


class CachedSequence:
    """A text under a policy; feed it tokens, it returns what comes next.

    Args:
        loaded: nobody else uses it meanwhile.
        policy: what stays.
        budget: entries per head right after an eviction.
        seed: of everything drawn at random.
        check: called in every layer; raises to stop.
        free_windows: whether layers with a window of their own free what leaves it.
        prompt_chunk: most tokens of the prompt that are read at once; after each such part the
            policy drops, and every later part reads what it selects. None reads all at once.
        probed: False believes that the model goes on from its states: for the trial that finds out.
        shared_passes: what other sequences of a run computed alike; None shares nothing.
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
        prompt_chunk: int | None = None,
        shared_passes: SharedPasses | None = None,
    ) -> None:
        self.loaded, self.budget, self.free_windows = loaded, budget, free_windows
        self.attending = attention_layers(loaded.model.config)
        self.policy = policy = policy.fitted(budget, len(self.attending), loaded.context)
        policy.refuse_below_smallest(budget)
        self.roles = None
        if "roles" in needs_of(policy):
            self.roles = head_roles(loaded, policy.measurement_of_heads())
            self.policy = policy = policy.knowing(self.roles)
        self.seen = self.step = self.prompt = 0
        self.prompt_chunk = prompt_chunk
        self.parts = self.part = self.most_bytes = 0  # of the prompt; after it the part is -1
        self.watches_parts = False
        self.check = check
        self.random = torch.Generator().manual_seed(seed)
        self.needs = needs_of(policy)
        self.rerotation = Rerotation.of(loaded, policy.positions, policy.distance_cap())
        self.evictor = Evictor(policy, budget, self.rerotation, len(self.attending))
        self.layers, self.dropped = self.evictor.layers, self.evictor.dropped
        self.selected: dict[int, Selected] = {}  # by layer, of the newest step
        self.shared: dict[str, Any] = {}
        self.rotary = capabilities.rotary(loaded) if "rotary" in self.needs else None
        self.pruner = None
        if policy.prunes_prompt:
            self.pruner = PromptPruner(loaded, partial(policy.joins, shared=self.shared))
        self.surprisal = SurprisalTrack(loaded) if "surprisal" in self.needs else None
        self.changes: dict[int, Change] = {}
        # What transformers is given as one.
        self.cache = PassingCache(loaded.model, len(loaded.layers))
        if probed and self.cache.has_states:
            capabilities.refuse_unless_continues(loaded, self._trial)
        self._states: list[dict[str, Any]] = []  # of the prompt's end, to go back to
        self._passes = shared_passes
        self._trail: Trail | None = None
        self.spared_ms = 0.0
        """What the model took for the newest pass, where another sequence had made it."""

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
    def read_states(self, ids: list[int]) -> Tensor:
        """Read as ``read`` does, and return the final states after every token [n, D]."""
        hidden = self._forward(ids)
        if self.surprisal is not None:
            self._logits(hidden[-1:])
        return hidden

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
        if self._trail is not None:
            self._trail.rewind()
        self.seen, self.step = self.prompt, 0

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the logits [n, V] after states [n, D]; the last predict the next token."""
        logits: Tensor = self.loaded.unembed(hidden)
        if self.surprisal is not None:
            self.surprisal.last_logits = logits[-1:].clone()
        return logits

    @property
    def more(self) -> bool:
        """Whether more of the prompt is to come after what is read now."""
        return self.seen < self.prompt

    def note_most(self) -> None:
        """Count what all layers hold, before one of them drops, while parts of a prompt come."""
        if self.parts > 1 and self.step == 0:
            self.most_bytes = max(self.most_bytes, self.cache_bytes)

    def _forward(self, ids: list[int]) -> Tensor:
        """Return the final states [n, D] of the tokens; a prompt is read part by part."""
        if self.seen:
            return self._read_together(ids)
        self.prompt = len(ids)
        self.changes = self.policy.patches_prefill(self.loaded, self.budget, len(ids))
        refuse_parts(self.policy, len(ids), self.prompt_chunk)
        parts = parts_of(ids, self.prompt_chunk)
        self.parts = len(parts)
        self.watches_parts = self.parts > 1 and self.policy.watches_parts(len(ids))
        self._trail = self._begin_trail()
        keep_scores, found = self.keep_scores, []
        for self.part, part in enumerate(parts):
            last = self.part + 1 == self.parts
            self.evictor.more, self.keep_scores = not last, keep_scores and last
            found.append(self._read_together(part))
            if not last and self.surprisal is not None:
                self._logits(found[-1][-1:])
        self.part = -1
        return found[0] if self.parts == 1 else torch.cat(found)

    def _read_together(self, ids: list[int]) -> Tensor:
        """Return the final states [n, D] of tokens that are read in one pass."""
        device = self.loaded.device
        first = self.seen == 0
        if self.policy.positions != "original":
            refuse_crossing(
                self.loaded,
                self.prompt,
                self.seen + len(ids),
                f"choose a policy that leaves positions as they are, as {self.policy.title} does "
                "not, shorten the prompt or ask for fewer tokens",
            )
        self.step += 0 if self.part >= 0 else 1
        self.seen += len(ids)
        positions = torch.arange(self.seen - len(ids), self.seen, device=device)
        self.positions = positions
        self.selected = {}
        if self.step:
            self.evictor.open_step(self.step, self.seen, positions)
        hidden = self._pass_over(ids)
        self.cache.advance(len(ids))
        if self.surprisal is not None:
            self.surprisal.add(ids, hidden, turn=first or self.step > 0)
            for cache in self.layers:
                cache.surprisal, cache.turns = self.surprisal.values, tuple(self.surprisal.turns)
        if self.step == 0 and not self.free_windows:
            self._states = self.cache.states()
        self.evictor.end_step(self.step)
        return hidden

    def _pass_over(self, ids: list[int]) -> Tensor:
        """Return the final states [n, D]; of a pass that was made already, if there is one."""
        trail, self.spared_ms = self._trail, 0.0
        if trail is None or not trail.goes_over(ids):
            return self._computed(ids, CacheRecorder(self))
        if (made := trail.made) is not None:
            self.spared_ms = made.model_ms
            return CacheRecorder(self).replay(made)
        noting, start = Noting(), time.perf_counter()
        hidden = self._computed(ids, CacheRecorder(self, noting))
        trail.keep(noting, hidden, (time.perf_counter() - start) * 1e3)
        return hidden

    def _computed(self, ids: list[int], recorder: CacheRecorder) -> Tensor:
        """Return the final states [n, D] of tokens that the model reads now."""
        first, device = self.seen == len(ids), self.loaded.device
        pruned = self.pruner.over(len(ids)) if first and self.pruner else nullcontext()
        # The recorder is made anew each time: kept, it would hold all entries in a cycle.
        with recording(recorder), pruned:
            out = self.loaded.body(
                input_ids=torch.tensor([ids], device=device),
                position_ids=self.positions[None],
                past_key_values=self.cache,
                use_cache=True,
            )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def _begin_trail(self) -> Trail | None:
        """Return what passes are shared by, where the policy reads a prompt as the model does."""
        policy = self.policy
        if self._passes is None or self.loaded.device.type != "cpu":
            return None
        changes = bool(self.changes) or type(policy).outputs is not Policy.outputs
        if changes or self.pruner or self.parts > 1 or self.cache.has_states:
            return None
        follows = policy.label == "nothing" and not policy.forms
        return Trail(self._passes, f"{sorted(self.needs)} {self.free_windows}" if follows else "")
