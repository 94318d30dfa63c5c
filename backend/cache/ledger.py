"""What a run writes down while it goes: arrays with a leading policy axis, and its results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.cache.decision_quantities import NEVER, NO_HEAD
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.evictions import Dropped
from tokenarium.backend.cache.grouping_record import (
    MOST_CLUSTER_BYTES,
    MOST_SEARCH_BYTES,
    GroupingRecord,
)
from tokenarium.backend.cache.result import CacheResult

MOST_SCORE_BYTES = MOST_SELECTED_BYTES = 32 * 2**20
MOST_NOISE_BYTES = 8 * 2**20
NEAR, PARTS = 16, 64
NEEDED = 256
_RECORD_BYTES = 4 * 4 + 4 + NEAR * 12 + PARTS * 8

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
        self.state_bytes = np.full(shape, -1, np.int64)
        self.windows = np.zeros(layers, np.int32)
        self.layer_budgets = np.full((policies, layers), -1, np.int32)
        self.evicted_at = np.full((policies, layers, heads, prompt + steps), NEVER, np.int16)
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
        self._every_noise = -(-policies * steps * layers * self.places // MOST_NOISE_BYTES)
        self._merged = [np.zeros((0, 6), np.int32)]
        self._noise_at: list[tuple[int, int, int]] = []
        self._noise = [np.zeros((0, self.places), np.uint8)]
        self._grouping = GroupingRecord(steps)

    @staticmethod
    def size_bytes(policies: int, steps: int, layers: int, heads: int, prompt: int) -> int:
        """Return the bytes of a finished ledger."""
        places = policies * layers * heads * (prompt + steps)
        numbers = policies * steps * (4 * (len(_PER_STEP) + len(_PER_LAYER) * layers) + 20)
        records = policies * steps * layers * heads * _RECORD_BYTES
        recorded = min(records, MOST_SCORE_BYTES) + min(places * steps // 8, MOST_SELECTED_BYTES)
        noise = min(policies * steps * layers * (prompt + steps), MOST_NOISE_BYTES)
        clusters = min(4 * layers * heads * prompt, MOST_CLUSTER_BYTES)
        grouping = policies * (MOST_SEARCH_BYTES + clusters)
        return 2 * places + numbers + recorded + noise + grouping + 20 * NEEDED * policies

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of everything takes."""
        numbers = sum(values.nbytes for values in self.numbers.values())
        selected = sum(bits.nbytes for bits in self._selected)
        noise = len(self._noise_at) * self.places
        records = sum(len(record[0]) for record in self._records) * _RECORD_BYTES
        merged = sum(rows.nbytes for rows in self._merged)
        grouping = self._grouping.nbytes
        return self.evicted_at.nbytes + numbers + records + selected + noise + merged + grouping

    def wants_scores(self, step: int) -> bool:
        """Whether the scores of a step are recorded."""
        return step % self.every == 0

    def wants_noise(self, step: int) -> bool:
        """Whether it is recorded what the null model keeps after a step."""
        return step % self._every_noise == 0

    def took(
        self,
        number: int,
        step: int,
        sequence: CachedSequence,
        made: Sequence[Dropped],
        noise: Sequence[Tensor | None],
    ) -> None:
        """Write down what a policy keeps and dropped, and let the sequence forget its drops.

        Args:
            made: ``choices`` of the sequence.
            noise: for each choice what its entries score on the null model; None where unknown.
        """
        if step == 0:
            self._begin(number, sequence)
        self.cache_bytes[number, step] = sequence.cache_bytes
        self.state_bytes[number, step] = sequence.state_bytes
        for cache in sequence.layers:
            mean = sum(cache.entries.counts) / cache.entries.groups
            self.numbers["entries"][number, step, cache.layer] = mean
            self.windows[cache.layer] = cache.window or 0
            if cache.acts:
                self.layer_budgets[number, cache.layer] = cache.budget
        for drop in sequence.dropped:
            for head, positions in enumerate(drop.positions):
                at = positions.cpu().numpy()
                self.evicted_at[number, drop.layer, head, at] = drop.step
            self._merge(number, drop)
        for choice, expected in zip(made, noise, strict=True):
            if choice.scores is not None and choice.among is not None:
                self._record(number, choice, choice.scores, choice.among, expected)
        sequence.dropped.clear()
        self._grouping.took(number, step, sequence)
        for layer, read in self.read_by(sequence).items():
            if step % self._every_selection == 0:
                self._selected_at.append((number, step, layer))
                self._selected.append(np.packbits(read, axis=1)[None])

    def _merge(self, number: int, drop: Dropped) -> None:
        """Write down which of what was dropped became a part of another entry."""
        for head, into in enumerate(drop.into or ()):
            part = into >= 0
            both = torch.stack((drop.positions[head][part], into[part]), 1).cpu().numpy()
            rows = np.empty((len(both), 6), np.int32)
            rows[:, :4] = number, drop.step, drop.layer, head
            rows[:, 4:] = both
            self._merged.append(rows)

    def _begin(self, number: int, sequence: CachedSequence) -> None:
        """Write down which heads there are, and what layers keep beside entries."""
        self.evicted_at[number] = NO_HEAD
        for cache in sequence.layers:
            self.evicted_at[number, cache.layer, : cache.entries.groups] = NEVER
        if held := sequence.cache.state_bytes:
            self.notes[number].append(
                f"layers that sum the text up keep states of {held:,} bytes, under every policy: "
                "the cache's bytes leave them out"
            )

    def read_by(self, sequence: CachedSequence) -> dict[int, NDArray[np.bool_]]:
        """Return by layer what the last step read [G, T + S], where that was not everything."""
        read = {}
        for layer, chosen in sequence.selected.items():
            read[layer] = np.zeros((len(chosen.positions), self.places), np.bool_)
            for head, positions in enumerate(chosen.positions):
                read[layer][head, positions.cpu().numpy()] = True
        return read

    def add_null_kept(self, number: int, step: int, layer: int, share: NDArray[np.float32]) -> None:
        """Write down how likely the null model keeps each position after a step."""
        self._noise_at.append((number, step, layer))
        self._noise.append(np.zeros((1, self.places), np.uint8))
        self._noise[-1][0, : len(share)] = np.round(255 * share)

    def _record(
        self, number: int, drop: Dropped, scores: Tensor, among: Tensor, noise: Tensor | None
    ) -> None:
        """Keep scores [G, S], and those on noise, exactly near the threshold, pooled elsewhere."""
        scores, present = scores.float(), among >= 0
        gone = torch.zeros_like(present)
        for head, positions in enumerate(drop.positions):
            gone[head] = torch.isin(among[head], positions)
        threshold = scores.masked_fill(~gone, float("-inf")).amax(1)
        near = (scores - threshold[:, None]).abs().masked_fill(~present, float("inf"))
        closest = near.topk(min(NEAR, near.shape[1]), largest=False).indices.sort(1).values
        places = np.full((len(scores), NEAR), -1, np.int32)
        places[:, : closest.shape[1]] = among.gather(1, closest).cpu().numpy()
        part = (among.clamp(min=0).long() * PARTS) // self.places
        noise = torch.full_like(scores, float("nan")) if noise is None else noise.float()
        several = [_compact(values, closest, part, present) for values in (scores, noise)]
        at = [(number, drop.step, drop.layer, head) for head in range(len(scores))]
        self._records.append(
            (
                np.asarray(at, np.int32),
                threshold.cpu().numpy(),
                places,
                *(values for both in several for values in both),
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
            state_bytes=cut(self.state_bytes),
            layer_budgets=self.layer_budgets.copy(),
            windows=self.windows.copy(),
            noise_at=np.asarray(self._noise_at, np.int32).reshape(-1, 3),
            noise_kept=np.concatenate(self._noise)[:, : self.prompt + done],
            merged_at=np.concatenate(self._merged),
            selected_at=np.asarray(self._selected_at, np.int32).reshape(-1, 3),
            selected_bits=np.concatenate(self._selected)[..., : -(-(self.prompt + done) // 8)],
            **per_step,
            **dict[str, Any]((name, self.numbers[name].copy()) for name in _PER_POLICY),
            **self._scores(),
            **dict[str, Any](self._grouping.arrays(self.prompt)),
            **known,
        )

    def _scores(self) -> dict[str, Any]:
        names = (
            *("score_at", "score_threshold", "score_positions"),
            *("score_near", "score_pooled", "noise_near", "noise_pooled"),
        )
        empty: Sequence[NDArray[Any]] = (
            np.zeros((0, 4), np.int32),
            np.zeros(0, np.float32),
            np.zeros((0, NEAR), np.int32),
            *(np.zeros((0, size), np.float32) for size in (NEAR, PARTS) * 2),
        )
        columns = zip(empty, *self._records, strict=True)
        # Put together once: an unfinished result is asked for several times a second.
        whole = tuple(map(np.concatenate, columns))
        self._records = [whole]
        return dict(zip(names, whole, strict=True))


def choices(sequence: CachedSequence) -> list[Dropped]:
    """Return what the last step dropped, and what it chose not to read where scores are known."""
    made = list(sequence.dropped)
    for layer, chosen in sequence.selected.items():
        if chosen.scores is not None:
            among = sequence.evictor.of_layer(layer).entries.rows("positions")
            both = zip(among, chosen.positions, strict=True)
            unread = [own[~torch.isin(own, read)] for own, read in both]
            made.append(Dropped(sequence.step, layer, unread, chosen.scores, among))
    return made


def _compact(
    scores: Tensor, closest: Tensor, part: Tensor, present: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scores [G, S] of the closest entries [G, NEAR], and their mean in each part."""
    exact = np.full((len(scores), NEAR), np.nan, np.float32)
    exact[:, : closest.shape[1]] = scores.gather(1, closest).cpu().numpy()
    zeros = scores.new_zeros(len(scores), PARTS)
    sums = zeros.scatter_add(1, part, scores.masked_fill(~present, 0))
    pooled = sums / zeros.scatter_add(1, part, present.float())  # 0 / 0 where there is nothing
    return exact, pooled.cpu().numpy()
