"""What a run writes down while it goes: arrays with a leading policy axis, and its results."""

from collections.abc import Sequence as Items
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.eviction.engine import Dropped, Sequence
from backend.eviction.result import CacheResult

MOST_SCORE_BYTES = MOST_SELECTED_BYTES = 32 * 2**20
NEAR, PARTS = 16, 64
NEEDED = 256
_RECORD_BYTES = 4 * 4 + 4 + NEAR * 8 + PARTS * 4

_PER_STEP = ("step_ms", "surprisal_nats", "full_surprisal_nats", "kl_nats", "top1_agree")
_PER_POLICY = ("prefill_ms", "peak_bytes", "perplexity", "full_perplexity")
_PER_LAYER = ("entries", "lost_mass", "topk_overlap")


class Ledger:
    """The unfinished result of P policies over L layers of G KV heads."""

    def __init__(self, policies: int, steps: int, layers: int, heads: int, prompt: int) -> None:
        shape = (policies, steps)
        self.prompt, self.steps = prompt, steps
        self.numbers: dict[str, NDArray[np.float32]] = {
            name: np.full(size, np.nan, np.float32)
            for names, size in (
                (_PER_STEP, shape),
                (_PER_POLICY, (policies,)),
                (_PER_LAYER, (*shape, layers)),
            )
            for name in names
        }
        self.token_ids = np.full(shape, -1, np.int32)
        self.cache_bytes = np.full(shape, -1, np.int64)
        self.evicted_at = np.full((policies, layers, heads, prompt + steps), -1, np.int16)
        self.notes: list[list[str]] = [[] for _ in range(policies)]
        self.first_divergence = np.full(policies, -1, np.int32)
        self.needed = [np.full((policies, NEEDED), -1, np.int32) for _ in range(4)]
        self.needed_weight = np.full((policies, NEEDED), np.nan, np.float32)
        self._records: list[tuple[NDArray[Any], ...]] = []
        records = policies * steps * layers * heads
        self.every = -(-records * _RECORD_BYTES // MOST_SCORE_BYTES)
        self.places = prompt + steps
        bits = heads * -(-self.places // 8)
        self._every_selection = -(-policies * steps * layers * bits // MOST_SELECTED_BYTES)
        self._selected_at: list[tuple[int, int, int]] = []
        self._selected = [np.zeros((0, heads, -(-self.places // 8)), np.uint8)]

    @staticmethod
    def size_bytes(policies: int, steps: int, layers: int, heads: int, prompt: int) -> int:
        """Return the bytes of a finished ledger."""
        places = policies * layers * heads * (prompt + steps)
        numbers = policies * steps * (4 * (len(_PER_STEP) + len(_PER_LAYER) * layers) + 12)
        records = policies * steps * layers * heads * _RECORD_BYTES
        recorded = min(records, MOST_SCORE_BYTES) + min(places * steps // 8, MOST_SELECTED_BYTES)
        return 2 * places + numbers + recorded + 20 * NEEDED * policies

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of everything takes."""
        numbers = sum(values.nbytes for values in self.numbers.values())
        selected = sum(bits.nbytes for bits in self._selected)
        return self.evicted_at.nbytes + numbers + len(self._records) * _RECORD_BYTES + selected

    def wants_scores(self, step: int) -> bool:
        """Whether the scores of a step are recorded."""
        return step % self.every == 0

    def took(self, number: int, step: int, sequence: Sequence) -> None:
        """Write down what a policy holds and dropped, and let the sequence forget its drops."""
        self.cache_bytes[number, step] = sequence.held_bytes
        for held in sequence.layers:
            mean = sum(held.entries.counts) / held.entries.groups
            self.numbers["entries"][number, step, held.layer] = mean
        for drop in sequence.dropped:
            for head, positions in enumerate(drop.positions):
                at = positions.cpu().numpy()
                self.evicted_at[number, drop.layer, head, at] = drop.step
            if drop.scores is not None and drop.among is not None:
                self._record(number, drop, drop.scores, drop.among)
        sequence.dropped.clear()
        for layer, read in self.read_by(sequence).items():
            if step % self._every_selection == 0:
                self._selected_at.append((number, step, layer))
                self._selected.append(np.packbits(read, axis=1)[None])

    def read_by(self, sequence: Sequence) -> dict[int, NDArray[np.bool_]]:
        """Return by layer what the last step read [G, T + S], where that was not everything."""
        read = {}
        for layer, chosen in sequence.selected.items():
            read[layer] = np.zeros((len(chosen.positions), self.places), np.bool_)
            for head, positions in enumerate(chosen.positions):
                read[layer][head, positions.cpu().numpy()] = True
        return read

    def _record(self, number: int, drop: Dropped, scores: Tensor, among: Tensor) -> None:
        """Keep scores [G, S] exactly near the threshold, and pooled elsewhere."""
        scores, held = scores.float(), among >= 0
        gone = torch.zeros_like(held)
        for head, positions in enumerate(drop.positions):
            gone[head] = torch.isin(among[head], positions)
        threshold = scores.masked_fill(~gone, float("-inf")).amax(1)
        near = (scores - threshold[:, None]).abs().masked_fill(~held, float("inf"))
        closest = near.topk(min(NEAR, near.shape[1]), largest=False).indices.sort(1).values
        part = (among.clamp(min=0).long() * PARTS) // (self.prompt + self.steps)
        zeros = scores.new_zeros(len(scores), PARTS)
        sums = zeros.scatter_add(1, part, scores.masked_fill(~held, 0))
        pooled = sums / zeros.scatter_add(1, part, held.float())  # 0 / 0 where nothing is held
        places = np.full((len(scores), NEAR), -1, np.int32)
        exact = np.full((len(scores), NEAR), np.nan, np.float32)
        places[:, : closest.shape[1]] = among.gather(1, closest).cpu().numpy()
        exact[:, : closest.shape[1]] = scores.gather(1, closest).cpu().numpy()
        at = [(number, drop.step, drop.layer, head) for head in range(len(scores))]
        self._records.append(
            (
                np.asarray(at, np.int32),
                threshold.cpu().numpy(),
                places,
                exact,
                pooled.cpu().numpy(),
            )
        )

    def need(self, number: int, weights: NDArray[np.float32], steps: NDArray[np.int32]) -> None:
        """Keep the highest of weights [L, G, positions] on dropped entries, and their steps."""
        flat = weights.ravel()
        most = np.argsort(-flat, kind="stable")[:NEEDED]
        most = most[flat[most] > 0]
        layer, head, position = np.unravel_index(most, weights.shape)
        found: tuple[NDArray[Any], ...] = (steps.ravel()[most], layer, head, position)
        for kept, values in zip(self.needed, found, strict=True):
            kept[number, : len(most)] = values
        self.needed_weight[number, : len(most)] = flat[most]

    def result(self, finished: bool, **known: Any) -> CacheResult:
        """Return what is known so far; a finished one is cut to the steps that were done."""
        done = int((self.token_ids >= 0).any(0).sum()) if finished else self.steps

        def cut(values: NDArray[Any]) -> NDArray[Any]:
            return values[:, :done].copy()

        per_step: dict[str, Any] = {
            name: cut(self.numbers[name]) for name in (*_PER_STEP, *_PER_LAYER)
        }
        step, layer, head, position = (values.copy() for values in self.needed)
        return CacheResult(
            token_ids=cut(self.token_ids),
            cache_bytes=cut(self.cache_bytes),
            evicted_at=self.evicted_at[..., : self.prompt + done].copy(),
            first_divergence=self.first_divergence.copy(),
            needed_step=step,
            needed_layer=layer,
            needed_head=head,
            needed_position=position,
            needed_weight=self.needed_weight.copy(),
            notes=tuple(map(tuple, self.notes)),
            selected_at=np.asarray(self._selected_at, np.int32).reshape(-1, 3),
            selected_bits=np.concatenate(self._selected)[..., : -(-(self.prompt + done) // 8)],
            **per_step,
            **dict[str, Any]((name, self.numbers[name].copy()) for name in _PER_POLICY),
            **self._scores(),
            **known,
        )

    def _scores(self) -> dict[str, Any]:
        names = ("score_at", "score_threshold", "score_positions", "score_near", "score_pooled")
        empty: Items[NDArray[Any]] = (
            np.zeros((0, 4), np.int32),
            np.zeros(0, np.float32),
            np.zeros((0, NEAR), np.int32),
            np.zeros((0, NEAR), np.float32),
            np.zeros((0, PARTS), np.float32),
        )
        columns = zip(empty, *self._records, strict=True)
        return {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}
