"""What attention statistics can be asked for, and how they come back."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Positions [start, stop) cut into ``tiles``: position start + i lies in floor(i tiles / n)."""

    start: int
    stop: int
    tiles: int

    def __post_init__(self) -> None:
        if not 1 <= self.tiles <= self.stop - self.start:
            raise ValueError(
                f"tiles={self.tiles} is not between 1 and the {self.stop - self.start} positions "
                f"of [{self.start}, {self.stop}): lower tiles or widen the range"
            )

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Tile a covers [edges[a], edges[a + 1])."""
        length = self.stop - self.start
        return tuple(self.start - (-a * length // self.tiles) for a in range(self.tiles + 1))


@dataclass(frozen=True)
class Grid:
    """A rectangle of the attention map, pooled to tiles; positions count from the first key."""

    queries: Axis
    keys: Axis

    @staticmethod
    def square(length: int, most: int) -> "Grid":
        """Cover a whole text of ``length`` tokens with at most ``most`` tiles a side."""
        axis = Axis(0, length, min(length, most))
        return Grid(axis, axis)


@dataclass(frozen=True)
class Want:
    """Which statistics to compute; what is not wanted costs nothing and comes back as None."""

    received: bool = False
    entropy: bool = False
    distance: bool = False
    neighbours: bool = False
    tiles: Grid | None = None


@dataclass(frozen=True)
class AttentionStats:
    """Statistics of the attention weights A [H, T, S], in float32.

    ``received`` [H, S] is the sum over queries of A[i, j]; ``entropy`` [H, T] is -sum_j A ln A in
    nats; ``distance`` [H, T] is sum_j A[i, j] (position of i - j) in tokens; ``self_weight`` and
    ``previous_weight`` [H, T] are each query's weight on its own key and on the one before (NaN
    where there is none); ``tiles_mean`` and ``tiles_max`` [H, r, c] pool the causal pairs of each
    tile of the grid (NaN in tiles without one).
    """

    received: Tensor | None = None
    entropy: Tensor | None = None
    distance: Tensor | None = None
    self_weight: Tensor | None = None
    previous_weight: Tensor | None = None
    tiles_mean: Tensor | None = None
    tiles_max: Tensor | None = None
