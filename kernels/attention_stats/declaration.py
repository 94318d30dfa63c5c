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


MOST_COLUMNS = 64


@dataclass(frozen=True)
class Want:
    """Which statistics to compute; what is not wanted costs nothing and comes back as None.

    ``columns`` are key positions, at most 64, followed over all queries. ``diagonals`` are
    distances d >= 0: the weight of every query on the key d before it, so that 0 is the token
    itself and 1 the previous one. ``decay`` are forgetting factors in (0, 1]. ``last`` is the
    number of closing queries summed on their own. ``segments`` cuts the queries into that many
    equal runs: query i of T lies in floor(i segments / T).
    """

    received: bool = False
    entropy: bool = False
    distance: bool = False
    columns: tuple[int, ...] = ()
    diagonals: tuple[int, ...] = ()
    decay: tuple[float, ...] = ()
    last: int = 0
    segments: int = 0
    tiles: Grid | None = None

    def __post_init__(self) -> None:
        if len(self.columns) > MOST_COLUMNS:
            raise ValueError(
                f"columns has {len(self.columns)} positions: follow at most {MOST_COLUMNS} at once"
            )
        if not all(0 < factor <= 1 for factor in self.decay):
            raise ValueError(f"decay={self.decay} is not within (0, 1]: 1 forgets nothing")
        if any(d < 0 for d in self.diagonals):
            raise ValueError(f"diagonals={self.diagonals} look ahead: distances start at 0")


@dataclass(frozen=True)
class AttentionStats:
    """Statistics of the attention weights A [H, T, S], in float32.

    ``received`` [H, S] is sum_i A[i, j]; ``entropy`` [H, T] is -sum_j A ln A in nats; ``distance``
    [H, T] is sum_j A[i, j] (position of i - j) in tokens. ``columns`` [H, n, T] is A[i, j] for each
    wanted key j (0 where query i comes before it). ``diagonals`` [H, n, T] is each query's weight
    on the key d before it, NaN where there is no such key. ``decayed`` [H, n, S] is
    sum_i f^(T - 1 - i) A[i, j] for each factor f (A2SF: Jo & Shin, 2024, arXiv:2407.20485);
    ``last`` [H, S] is the sum over the last queries alone (SnapKV: Li et al., 2024,
    arXiv:2404.14469); ``segments`` [H, n, S] the sum over each run of queries. ``tiles_mean`` and
    ``tiles_max`` [H, r, c] pool the causal pairs of each tile of the grid (NaN in tiles without
    one).
    """

    received: Tensor | None = None
    entropy: Tensor | None = None
    distance: Tensor | None = None
    columns: Tensor | None = None
    diagonals: Tensor | None = None
    decayed: Tensor | None = None
    last: Tensor | None = None
    segments: Tensor | None = None
    tiles_mean: Tensor | None = None
    tiles_max: Tensor | None = None
