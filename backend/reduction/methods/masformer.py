"""Mixed attention spans: few layers attend to everything, the others to a window."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction

if TYPE_CHECKING:
    from tokenarium.backend.reduction.bench import Bench
    from tokenarium.backend.reduction.stepper import Stepper

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
FULL, SHORT = range(2)
FOUND, BEST, GREEDY = "best on the calibration text", "best on this text", "greedy"
LAST, FIRST, RANDOM = "the last layers", "the first layers", "at random"


class Masformer(Reduction):
    """Losses [N, T - 1] of N choices of the layers that attend to everything."""

    slug: ClassVar[str] = "masformer"
    title: ClassVar[str] = "Mixed attention spans (MASFormer)"
    explanation: ClassVar[str] = (
        "Lets only a few layers attend to the whole text, and the others to a window of latest "
        "tokens; every choice of those layers is read."
    )
    paper: ClassVar[str] = "Zhang et al., 2023, arXiv:2310.12442"
    differs: ClassVar[str] = (
        "the model was not trained with these spans; which layers are full is searched, where the "
        "paper takes the last ones; neighbouring layers are chosen together where there are more "
        "layers than groups"
    )
    cost_title: ClassVar[str] = "pairs of query and key"
    exact: ClassVar[str] = BEST
    series: ClassVar[Mapping[str, str]] = {
        FOUND: "The choice of so many groups that reads the calibration text best.",
        BEST: "Of all choices that cost no more, the one that reads the held-out text itself best.",
        GREEDY: "One group after another, the one that helps the calibration text most.",
        LAST: "The last groups attend to everything, as in the paper.",
        FIRST: "The first groups attend to everything.",
        RANDOM: "The mean over all choices of so many groups.",
    }
    window: int = Field(
        16,
        ge=1,
        le=4096,
        title="Window",
        description="Latest tokens that the other layers attend to, the query's own included.",
    )
    first: int = Field(
        0,
        ge=0,
        le=64,
        title="First tokens",
        description="First tokens of the text that every layer attends to as well; attention sinks "
        "are among them.",
    )
    groups: int = Field(
        6,
        ge=1,
        le=10,
        title="Groups of layers",
        description="Neighbouring layers are chosen together, in so many groups; with 8 groups 256 "
        "choices are read.",
    )
    full: int = Field(
        1,
        ge=0,
        le=10,
        title="Groups in full",
        description="Groups that attend to everything in the model that the verdict is about.",
    )

    def readings(self, layers: int) -> float:
        """Return two texts under all choices, as far as they share no layers."""
        from tokenarium.backend.reduction.patterns import every_pattern, grouped, shared_readings

        return 2 * shared_readings(every_pattern(grouped(layers, self.groups), 2))

    def reduce(self, bench: "Bench") -> Reduced:
        """Return the best and other choices for every number of groups in full."""
        from tokenarium.backend.reduction.patterns import every_pattern, grouped

        groups = grouped(bench.layers, self.groups)
        patterns = every_pattern(groups, 2)
        chosen = patterns[:, np.unique(groups, return_index=True)[1]] == FULL  # [N, G]
        known, _ = self._losses(bench.calibration, patterns)
        nats, shares = self._losses(bench.held_out, patterns)
        counts = chosen.sum(1)

        def point(name: str, rows: Integers) -> Point:
            return _point(name, groups, chosen, rows, nats, shares)

        every = [point(BEST, np.array([row])) for row in range(len(patterns))]
        costs = np.array([each.cost for each in every])
        losses = np.array([each.nats.mean() for each in every])
        points = []
        for cost in np.unique(costs.round(9)):
            within = np.flatnonzero(costs <= cost + 1e-9)
            points.append(replace(every[within[losses[within].argmin()]], cost=float(cost)))
        found: list[int] = []
        before = int(np.flatnonzero(counts == 0)[0])
        place = np.arange(chosen.shape[1])
        for full in range(chosen.shape[1] + 1):
            rows = np.flatnonzero(counts == full)
            if full:
                more = rows[(chosen[rows] >= chosen[before]).all(1)]
                before = int(more[known[more].mean(1).argmin()])
            named = {
                FOUND: rows[[known[rows].mean(1).argmin()]],
                GREEDY: np.array([before]),
                LAST: rows[(chosen[rows] == (place >= len(place) - full)).all(1)],
                FIRST: rows[(chosen[rows] == (place < full)).all(1)],
                RANDOM: rows,
            }
            found.append(len(points))
            points += [point(name, which) for name, which in named.items()]
        at = found[min(self.full, chosen.shape[1])]
        best = [n for n in range(found[0]) if points[n].cost <= points[at].cost + 1e-9][-1]
        note = (
            "with first tokens 0 a window loses the attention sink: see what first tokens 1 changes"
        )
        beside = (best, *range(at + 1, at + len(self.series) - 1))
        return Reduced(tuple(points), at, beside, len(patterns), () if self.first else (note,))

    def _losses(self, text: "Stepper", patterns: Integers) -> tuple[Floats, Floats]:
        """Return [N, T - 1] losses, and [L, 2] the share of pairs of a full and a short layer."""
        from tokenarium.backend.observe.attention import recording
        from tokenarium.backend.reduction.patterns import read_patterns
        from tokenarium.backend.reduction.spans import Spans

        spans = Spans(self.window, self.first)
        with recording(spans):
            nats = read_patterns(text, patterns, spans.step(text, short=SHORT))
        return nats, spans.shares(len(text.loaded.layers))


def _point(
    name: str,
    groups: Integers,
    chosen: NDArray[np.bool_],
    rows: Integers,
    nats: Floats,
    shares: Floats,
) -> Point:
    """Return the mean over choices."""
    wide = chosen[rows][:, groups]  # [M, L]
    pairs = np.where(wide, 1.0, shares[:, 1] / shares[:, 0]).mean(0)
    cost = float((pairs * shares[:, 0]).sum() / shares[:, 0].sum())
    computed = np.stack([pairs, np.ones_like(pairs)], 1)
    said = [str(number) for number in np.flatnonzero(chosen[rows[0]])]
    which = f": {', '.join(said)}" if len(rows) == 1 and said else ""
    full = int(chosen[rows[0]].sum())
    label = f"{full} of {chosen.shape[1]} groups in full{which}"
    return Point(name, label, cost, nats[rows].mean(0), computed, setting=float(full))
