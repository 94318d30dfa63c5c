"""How much of what the full model looks at a policy has kept, where it predicts an answer."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.observe import AttentionCall, Recorder
from tokenarium.backend.observe.reading import BLOCK
from tokenarium.kernels.attention_stats import attention_rows

MOST_BYTES = 32 * 2**20
"""What the weights of all exercises of a depth may take, beside one row of each layer."""


@dataclass(frozen=True)
class AnswerAttention:
    """The full model's attention at the tokens from which an answer of n tokens is predicted."""

    answer: tuple[int, ...]
    """Numbers of the answer's tokens that are looked at, ascending; spread evenly where few."""
    weights: dict[int, Tensor] = field(default_factory=dict)
    """[G, rows, T] by layer, mean over the query heads of each KV head; a row for each of these."""


class AnswerReader(Recorder):
    """Attends as the model does, and keeps the attention from which an answer is predicted.

    Args:
        exercise: what is read.
        check: called in every layer; raises to stop.
        most_bytes: what the weights may take; a row of every layer is kept in any case.
        per_token: bytes of one token's weight in every KV head of all layers.
    """

    def __init__(
        self, exercise: Exercise, check: Callable[[], None], most_bytes: int, per_token: int
    ) -> None:
        super().__init__()
        self._check, self._first = check, len(exercise.prompt) - 1
        count, length = len(exercise.answer), len(exercise.prompt) + len(exercise.answer) - 1
        rows = min(count, max(1, most_bytes // (per_token * length)))
        chosen = np.unique(np.linspace(0, count - 1, rows).round().astype(int))
        self.found = AnswerAttention(tuple(chosen.tolist()))

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer, and keep its weights."""
        self._check()
        at = np.asarray(self.found.answer) + self._first
        runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)  # of consecutive queries
        rows = [_weights(call, int(run[0]), int(run[-1]) + 1) for run in runs]
        self.found.weights[call.layer] = torch.cat(rows, 1)
        return super().attend(call)


def _weights(call: AttentionCall, start: int, stop: int) -> Tensor:
    """Return [G, n, T] the weights of the queries ``start`` to ``stop``, the latter not included.

    Args:
        call: of a layer that reads a whole text of T tokens at once.
    """
    inputs = call.inputs()
    mask = None if inputs.mask is None else inputs.mask[:, start:stop]
    inputs = replace(inputs, q=inputs.q[:, start:stop], offset=start, mask=mask)
    groups, length = call.k.shape[1:3]
    found = torch.zeros(groups, stop - start, length, device=call.q.device)
    for rows in attention_rows(inputs, BLOCK.stop - 1):
        grouped = rows.weights.unflatten(0, (groups, -1)).mean(1)
        found[:, rows.start : rows.stop, : grouped.shape[2]] = grouped
    return found


class RecallTrack:
    """Follows what a policy has dropped and reads, and measures what that is worth.

    Args:
        full: of the same exercise.
        prompt: tokens before the answer.
        answer: tokens of the answer.
    """

    def __init__(self, full: AnswerAttention, prompt: int, answer: int) -> None:
        self._full, self._prompt = full, prompt
        self._rows = {token: row for row, token in enumerate(full.answer)}
        # The answer's last token is read too, though nothing is predicted from it.
        self._gone = {
            layer: torch.zeros(own.shape[0], prompt + answer, dtype=torch.bool, device=own.device)
            for layer, own in full.weights.items()
        }
        self._dropped = 0
        self.recall: NDArray[np.float32] = np.full(answer, np.nan, np.float32)
        """[n] mean over layers and KV heads of the full model's attention to what was kept and
        read; NaN at tokens that are not looked at."""

    def look(self, sequence: CachedSequence) -> None:
        """Measure a reading, and note what was dropped after it."""
        row = self._rows.get(sequence.seen - self._prompt)
        if row is not None and self._gone:
            kept = [self._kept(sequence, layer, row) for layer in self._gone]
            self.recall[self._full.answer[row]] = sum(kept) / len(kept)
        for drop in sequence.dropped[self._dropped :]:
            for head, positions in enumerate(drop.positions):
                self._gone[drop.layer][head, positions] = True
        self._dropped = len(sequence.dropped)

    def forgotten(self, sequence: CachedSequence) -> None:
        """Note that the sequence may have forgotten what it dropped."""
        self._dropped = len(sequence.dropped)

    def _kept(self, sequence: CachedSequence, layer: int, row: int) -> float:
        """Return what the last query of a layer could read of the full model's attention."""
        weights = self._full.weights[layer][:, row]
        lost = self._gone[layer][:, : weights.shape[1]]
        if (selected := sequence.selected.get(layer)) is not None:
            read = torch.zeros_like(lost)
            for head, positions in enumerate(selected.positions):
                read[head, positions] = True
            lost = lost | ~read
        return 1 - float(weights.where(lost, 0.0).sum(1).mean())
