"""Each token routed through whole, small or no layers, and the best routing that there is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.reduction.bench import Bench

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FULL, SMALL, SKIP = range(3)
BUDGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ORACLE, GREEDY, ONE = "best for each token", "greedy for each token", "best for all tokens"
FIRST, RANDOM = "the first layers alone", "at random"
CLOSE = 1e-9


class DuoLlm(Reduction):
    """Losses [N, T - 1] of N routings; the cost of each is known before."""

    slug: ClassVar[str] = "duo_llm"
    title: ClassVar[str] = "Routed layers (Duo-LLM's oracle)"
    explanation: ClassVar[str] = (
        "Routes each token through every layer in full, with a small MLP, or not at all, in every "
        "way that there is, and finds the best within a budget."
    )
    paper: ClassVar[str] = "Alizadeh et al., 2024, arXiv:2410.10846"
    differs: ClassVar[str] = (
        "the small module is the MLP at a low rank, not a trained one; tokens before the routed "
        "one were read in full; neighbouring layers are routed together where there are more "
        "layers than groups; every routing is read, where the paper's oracle searches"
    )
    cost_title: ClassVar[str] = "the layers' multiplications, for each token at most"
    exact: ClassVar[str] = ORACLE
    most_tokens: ClassVar[int] = 32
    series: ClassVar[Mapping[str, str]] = {
        ORACLE: "Of all routings within the budget the one with the least loss, token by token; it "
        "knows the token that comes.",
        GREEDY: "From the whole model down, the step that costs this token least, until the budget "
        "is met; it knows the token that comes, too.",
        ONE: "The one routing within the budget that has the least mean loss over all tokens.",
        FIRST: "The first layers in full, and none of those after them.",
        RANDOM: "The mean over all routings that cost the last tenth below the budget.",
    }
    budget: float = Field(
        0.5,
        ge=0.1,
        le=1.0,
        title="Budget",
        description="Share of the layers' multiplications that a token may use; what the verdict "
        "is about.",
    )
    groups: int = Field(
        6,
        ge=1,
        le=8,
        title="Groups of layers",
        description="Neighbouring layers are routed together, in so many groups; with 8 groups "
        "6,561 routings are read.",
    )
    rank: float = Field(
        0.25,
        gt=0.0,
        le=1.0,
        title="Rank of the small MLP",
        description="Rank of the small MLP's matrices, as a share of their shorter side.",
    )

    def readings(self, layers: int) -> float:
        """Return two of what all routings do not share, in which no layer is left out."""
        from tokenarium.backend.reduction.patterns import every_pattern, grouped, shared_readings

        return 1 + shared_readings(every_pattern(grouped(layers, self.groups), 3))

    def reduce(self, bench: "Bench") -> Reduced:
        """Return the best routing and others at every budget."""
        from tokenarium.backend.reduction.low_rank import low_rank_cost
        from tokenarium.backend.reduction.patterns import every_pattern, grouped

        groups = grouped(bench.layers, self.groups)
        patterns = every_pattern(groups, 3)
        nats = self._losses(bench, patterns)
        parts = np.ones((len(patterns), bench.layers, 2))
        small = np.broadcast_to(low_rank_cost(bench.loaded, self.rank), patterns.shape)
        parts[..., 1][patterns == SMALL] = small[patterns == SMALL]
        parts[patterns == SKIP] = 0
        costs = (parts * bench.arithmetic).sum((1, 2))
        table = _Table(nats, costs, parts, patterns[:, np.unique(groups, return_index=True)[1]])
        budgets = sorted({*BUDGETS, self.budget})
        points = [point for budget in budgets for point in table.points(budget)]
        here = [n for n, point in enumerate(points) if abs(point.cost - self.budget) < CLOSE]
        chosen = next(n for n in here if points[n].series == ORACLE)
        note = (
            "the routing of each token is chosen by how well the token that comes is predicted, "
            "which nobody knows before: it is what a perfect router could reach"
        )
        rest = tuple(number for number in here if number != chosen)
        return Reduced(tuple(points), chosen, rest, len(patterns), (note,))

    def _losses(self, bench: "Bench", patterns: Integers) -> Floats:
        """Return [N, T - 1]."""
        from tokenarium.backend.observe.attention import recording
        from tokenarium.backend.reduction.low_rank import small_mlps
        from tokenarium.backend.reduction.patterns import by_choice, read_patterns
        from tokenarium.backend.reduction.routed import RoutedAttention, instead

        text, smaller = bench.held_out, small_mlps(bench.loaded, self.rank)
        attention = RoutedAttention()
        attention.learn(text)

        def small(layer: int, states: "Tensor") -> "Tensor":
            with instead(smaller[layer]):
                return text.layer(layer, states)

        with recording(attention):
            ways = by_choice([text.layer, small, lambda _, states: states])
            return read_patterns(text, patterns, ways)


class _Table:
    """Losses [N, T - 1], costs [N] and parts [N, L, 2] of all routings [N, G]."""

    def __init__(self, nats: Floats, costs: Floats, parts: Floats, patterns: Integers) -> None:
        self.nats, self.costs, self.parts = nats, costs, parts
        self._powers = 3 ** np.arange(patterns.shape[1])[::-1]
        self._patterns = patterns
        self._tokens = np.arange(nats.shape[1])

    def points(self, budget: float) -> list[Point]:
        """Return a point of every series within a budget."""
        inside = np.flatnonzero(self.costs <= budget + CLOSE)
        best = inside[self.nats[inside].argmin(0)]
        one = inside[self.nats[inside].mean(1).argmin()]
        full = (self._patterns == FULL).sum(1)
        alone = np.sort(self._patterns, 1) == self._patterns
        alone &= self._patterns != SMALL
        first = max(np.flatnonzero(alone.all(1) & (self.costs <= budget + CLOSE)), key=full.item)
        near = inside[self.costs[inside] > budget - 0.1 + CLOSE]
        everyone = np.broadcast_to(near[:, None], (len(near), len(self._tokens)))
        found = {
            ORACLE: best[None],
            GREEDY: self.greedy(budget)[None],
            ONE: np.full((1, len(self._tokens)), one),
            FIRST: np.full((1, len(self._tokens)), first),
            RANDOM: everyone,
        }
        return [self._point(name, budget, rows) for name, rows in found.items() if len(rows)]

    def greedy(self, budget: float) -> Integers:
        """Return [T - 1] the routing of each token, lowered step by step from the whole model."""
        now = np.zeros(len(self._tokens), np.int64)  # all in full
        while (over := self.costs[now] > budget + CLOSE).any():
            steps = now[:, None] + self._powers  # one group computes less
            allowed = self._patterns[now] < SKIP
            steps = np.where(allowed, steps, 0)
            losses = np.where(allowed, self.nats[steps, self._tokens[:, None]], np.inf)
            lower = steps[self._tokens, losses.argmin(1)]
            now = np.where(over, lower, now)
        return now

    def _point(self, name: str, budget: float, rows: Integers) -> Point:
        """Return the mean over routings [M, T - 1] of each token."""
        nats = self.nats[rows, self._tokens].mean(0)
        counts = np.bincount(rows.ravel(), minlength=len(self.costs)) / rows.size
        used = np.flatnonzero(counts)
        computed = np.tensordot(counts[used], self.parts[used], 1).clip(0, 1)
        return Point(name, f"at most {budget:.0%} a token", budget, nats, computed, setting=budget)
