"""What policies found on the way: searched ranges, clusters of tokens, how alike layers are."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.layer_view import SearchLevel

MOST_SEARCH_BYTES = MOST_CLUSTER_BYTES = 2 * 2**20
"""Of one policy."""
ROW = 8
"""Numbers of a range that was looked at, beside its score."""


class GroupingRecord:
    """What a run writes down of searches and clusters.

    Args:
        steps: of each policy.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._every: dict[int, int] = {}  # by policy, known from its first search
        self._ranges = [np.zeros((0, ROW), np.int32)]
        self._scores = [np.zeros(0, np.float32)]
        self._cluster_at: list[tuple[int, int, int]] = []
        self._clusters: list[NDArray[np.int32]] = []
        self._neighbours: list[tuple[int, int, int]] = []
        self._likeness: list[tuple[float, float]] = []

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of everything takes."""
        held: Sequence[NDArray[Any]] = (*self._ranges, *self._scores, *self._clusters)
        return sum(rows.nbytes for rows in held)

    def took(self, number: int, step: int, sequence: CachedSequence) -> None:
        """Write down what a step of policy ``number`` searched, or what its prompt came to."""
        if step == 0:
            self._cluster(number, sequence)
            for lower, upper, *cosines in sequence.policy.likeness(sequence.shared):
                self._neighbours.append((number, lower, upper))
                self._likeness.append((cosines[0], cosines[1]))
        elif step % self._every.get(number, 1) == 0:
            both = sequence.selected.items()
            found = [rows for layer, own in both for rows in _ranges(layer, own.levels)]
            if found:
                self._add(number, step, found)

    def _add(
        self, number: int, step: int, found: list[tuple[NDArray[np.int32], NDArray[np.float32]]]
    ) -> None:
        ranges = np.concatenate([rows for rows, _ in found])
        ranges[:, :2] = number, step
        scores = np.concatenate([own for _, own in found])
        if number not in self._every:
            whole = (ranges.nbytes + scores.nbytes) * self._steps
            self._every[number] = max(1, -(-whole // MOST_SEARCH_BYTES))
        self._ranges.append(ranges)
        self._scores.append(scores)

    def _cluster(self, number: int, sequence: CachedSequence) -> None:
        found: list[tuple[int, NDArray[np.int32]]] = []
        for cache in sequence.layers:
            if cache.acts:
                member = sequence.policy.clusters_of(sequence.evictor.view(cache))
                if member is not None:
                    found.append((cache.layer, member.cpu().numpy().astype(np.int32)))
        whole = sum(own.nbytes for _, own in found)
        every = max(1, -(-whole // MOST_CLUSTER_BYTES))
        for layer, own in found[::every]:
            self._cluster_at += [(number, layer, head) for head in range(len(own))]
            self._clusters += list(own)

    def arrays(self, prompt: int) -> dict[str, NDArray[Any]]:
        """Return the quantities by name, for a prompt of so many tokens."""
        none = np.zeros((0, prompt), np.int32)
        return {
            "search_at": np.concatenate(self._ranges),
            "search_scores": np.concatenate(self._scores),
            "cluster_at": np.asarray(self._cluster_at, np.int32).reshape(-1, 3),
            "clusters": np.stack(self._clusters) if self._clusters else none,
            "neighbours": np.asarray(self._neighbours, np.int32).reshape(-1, 3),
            "likeness": np.asarray(self._likeness, np.float32).reshape(-1, 2),
        }


def _ranges(
    layer: int, levels: Sequence[SearchLevel]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield the rows and scores of each level of a search; policy and step are still to be set."""
    for depth, level in enumerate(levels):
        head, at = (level.stops > level.starts).nonzero(as_tuple=True)
        rows = np.zeros((len(head), ROW), np.int32)
        rows[:, 2], rows[:, 4] = layer, depth
        rows[:, 3] = head.cpu().numpy()
        for column, own in ((5, level.starts), (6, level.stops), (7, level.opened)):
            rows[:, column] = own[head, at].cpu().numpy()
        yield rows, level.scores[head, at].float().cpu().numpy()
