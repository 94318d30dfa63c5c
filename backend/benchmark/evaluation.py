"""Read an exercise under a policy, and measure how well its answer is predicted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.benchmark.recall import AnswerAttention, AnswerReader, RecallTrack
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.full_model import divergence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.generating import wait
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import recording

ROWS = 64
"""Rows of logits compared with the full model's at once."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Answered:
    """What one policy made of one exercise with an answer of n tokens."""

    surprisal: Floats
    """[n] -ln p of each token of the answer, the tokens before it given."""
    kl: Floats
    """[n] KL(full || policy) in nats."""
    agree: Floats
    """[n] 1 where the likeliest token is the full model's."""
    likeliest: NDArray[np.bool_]
    """[n] whether the answer's token is the likeliest; if all are, greedy decoding says it."""
    chosen: bool
    """Whether the first token of the answer is likelier than those of all wrong answers."""
    step_ms: Floats
    """[n] wall time of reading each token of the answer."""
    cache_bytes: Floats
    """[n] bytes of the cache after each of them."""
    prefill_ms: float
    """Wall time of reading context and question."""
    recall: Floats
    """[n] the full model's attention to what was kept and read where each token is predicted, mean
    over layers and KV heads; NaN where it is not looked at."""


def readings(exercise: Exercise, query_aware: bool) -> list[tuple[int, ...]]:
    """Return the parts in which an exercise is read before its answer; entries go after the first.

    Every token of the answer must be predicted from a cache that the policy has reduced, the first
    one too. So the last token of the prompt, or the whole question where it is not known when
    entries are dropped, is read afterwards, as a decode step.
    """
    if exercise.question and not query_aware:
        return [exercise.context, exercise.question]
    prompt = exercise.prompt
    return [prompt] if len(prompt) == 1 else [prompt[:-1], prompt[-1:]]


class Watcher(Protocol):
    """Sees every reading of an exercise, the prompt's first."""

    def before(self, sequence: CachedSequence) -> None:
        """Prepare for the next reading."""

    def after(self, sequence: CachedSequence, took_ms: float) -> None:
        """Write down what the reading left."""


@dataclass(frozen=True)
class FullReading:
    """What the full model makes of an exercise with an answer of n tokens."""

    states: Tensor
    """[n, D] final states from which it predicts the answer's tokens."""
    attention: AnswerAttention
    """What it looks at there."""


@torch.inference_mode()
def full_reading(
    loaded: LoadedModel, exercise: Exercise, check: Callable[[], None], most_bytes: int = 0
) -> FullReading:
    """Read an exercise with the full model.

    Args:
        loaded: nobody else uses it meanwhile.
        exercise: what is read.
        check: called in every layer; raises to stop.
        most_bytes: what its attention may take; it is that of some of the answer's tokens, of one
            at the least.
    """
    ids = [*exercise.prompt, *exercise.answer[:-1]]
    layout = capabilities.layers(loaded)
    reader = AnswerReader(exercise, check, most_bytes, 4 * layout.attending * layout.kv_heads)
    with recording(reader):
        out = loaded.body(input_ids=torch.tensor([ids], device=loaded.device), use_cache=False)
    states: Tensor = out.last_hidden_state[0, len(exercise.prompt) - 1 :]
    # States are no view of those of the whole prompt.
    return FullReading(states.clone(), reader.found)


@dataclass(frozen=True)
class Evaluation:
    """How exercises are read: under a policy, at a budget.

    Raises: ValueError, at an answer, if the budget or the model does not suit the policy.
    """

    loaded: LoadedModel
    """Nobody else uses it meanwhile."""
    policy: Policy
    budget: int
    """Entries per head right after an eviction."""
    seed: int
    """Of what the policy draws."""
    query_aware: bool
    """Whether all of the question but its last token belongs to the prompt; else it is read as a
    turn of its own, after entries were dropped."""
    check: Callable[[], None]
    """Called in every layer; raises to stop."""

    @torch.inference_mode()
    def answer(
        self, exercise: Exercise, full: FullReading, watcher: Watcher | None = None
    ) -> Answered:
        """Read an exercise, then its answer token by token.

        Args:
            exercise: what is read.
            full: of ``full_reading``.
            watcher: sees every reading, outside of what is timed.
        """
        sequence = CachedSequence(self.loaded, self.policy, self.budget, self.seed, self.check)
        track = RecallTrack(full.attention, len(exercise.prompt), len(exercise.answer))
        prefill_ms = 0.0
        for part in readings(exercise, self.query_aware):
            logits, took = _timed(sequence, part, track, watcher)
            prefill_ms += took
        others = torch.tensor(exercise.others, device=logits.device, dtype=torch.long)
        chosen = bool((logits[exercise.answer[0]] > logits[others]).all())
        rows: list[Tensor] = []
        measured: list[dict[str, Floats]] = []
        step_ms, cache_bytes = [], []
        for place, token in enumerate(exercise.answer):
            rows.append(logits)
            logits, took = _timed(sequence, (token,), track, watcher)
            step_ms.append(took)
            cache_bytes.append(sequence.cache_bytes)
            if len(rows) == ROWS or place + 1 == len(exercise.answer):
                here = slice(place + 1 - len(rows), place + 1)
                measured.append(
                    _compare(self.loaded, full.states[here], rows, exercise.answer[here])
                )
                rows = []
        found = {name: np.concatenate([part[name] for part in measured]) for name in measured[0]}
        return Answered(
            surprisal=found["surprisal_nats"],
            kl=found["kl_nats"],
            agree=found["top1_agree"],
            likeliest=found["likeliest"].astype(np.bool_),
            chosen=chosen,
            step_ms=np.asarray(step_ms, np.float32),
            cache_bytes=np.asarray(cache_bytes, np.float32),
            prefill_ms=prefill_ms,
            recall=track.recall,
        )


def _timed(
    sequence: CachedSequence, ids: tuple[int, ...], track: RecallTrack, watcher: Watcher | None
) -> tuple[Tensor, float]:
    """Return the logits [V], float32, after reading tokens, and the milliseconds it took."""
    device = sequence.loaded.device
    if watcher is not None:
        watcher.before(sequence)
    wait(device)
    start = time.perf_counter()
    logits = sequence.read(list(ids))
    wait(device)
    took_ms = (time.perf_counter() - start) * 1e3
    track.look(sequence)
    if watcher is not None:
        watcher.after(sequence, took_ms)
        track.forgotten(sequence)
    return logits.float(), took_ms


def _compare(
    loaded: LoadedModel, states: Tensor, rows: list[Tensor], ids: tuple[int, ...]
) -> dict[str, Floats]:
    policy = torch.stack(rows)
    measured = divergence(loaded.unembed(states).float(), policy, list(ids))
    likeliest = policy.argmax(-1).cpu() == torch.tensor(ids)
    return {**measured, "likeliest": likeliest.float().numpy()}
