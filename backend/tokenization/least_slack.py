"""A linear programme: shares of a mixture under which a list of choices needs the least excuse."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
MOST_STEPS = 100
GAP = 1e-6
_SHORTER = 0.995
"""Part of the way to the nearest bound that a step may go."""


@dataclass(frozen=True)
class LeastSlack:
    """An optimum of the programme, between two bounds that are both computed from feasible points.

    By duality the least slack at given shares is the weight of the heaviest matching of choices to
    rivals, each used once: that is how the tests find it without this solver.
    """

    shares: Floats
    """[n], not negative, sum 1."""
    slack: float
    """Sum of the slack at these shares."""
    bound: float
    """What no shares go below."""


def least_slack(
    margins: Floats, choice: Places, rival: Places, check: Callable[[], None] = lambda: None
) -> LeastSlack:
    """Return shares a that minimise sum v + sum w with margins a + v[choice] + w[rival] >= 0.

    A primal-dual interior-point method with predictor and corrector (Mehrotra, 1992) from a
    feasible start; w is eliminated, since no two of them meet in a constraint.

    Args:
        margins: [m, n] of constraint and part of the mixture: how far the choice leads.
        choice: [m] number of the choice.
        rival: [m] number of the rival; a pair of both stands once.
        check: called at every step; what it raises ends the computation.
    """
    count, parts = margins.shape
    if not count:
        return LeastSlack(np.full(parts, 1 / parts), 0.0, 0.0)
    choice, rival = (np.unique(each, return_inverse=True)[1] for each in (choice, rival))
    scale = float(np.abs(margins).max()) or 1.0
    programme = _Programme(margins / scale, choice, rival)
    point = programme.start()
    shares, slack, bound = programme.certified(point)
    for _ in range(MOST_STEPS):
        if slack - bound <= GAP * (1 + slack) or not point.inside:
            break
        check()
        point = programme.step(point)
        found, above, below = programme.certified(point)
        if above < slack:
            shares, slack = found, above
        bound = max(bound, below)
    return LeastSlack(shares, slack * scale, bound * scale)


@dataclass(frozen=True)
class _Point:
    """x = (shares, v, w) and s their constraints' surplus; z and y their duals."""

    x: Floats
    z: Floats
    s: Floats
    y: Floats
    price: float
    """Dual of the sum of the shares."""

    @property
    def gap(self) -> float:
        return float(self.x @ self.z + self.s @ self.y)

    @property
    def inside(self) -> bool:
        """Whether rounding has left everything above 0."""
        return all(bool((each > 0).all()) for each in (self.x, self.z, self.s, self.y))


class _Programme:
    def __init__(self, margins: Floats, choice: Places, rival: Places) -> None:
        self.margins, self.choice, self.rival = margins, choice, rival
        self.parts = margins.shape[1]
        self.choices, self.rivals = int(choice.max()) + 1, int(rival.max()) + 1
        self.kept = self.parts + self.choices

    def times(self, x: Floats) -> Floats:
        """Return [m] the left side of the constraints."""
        a, v, w = x[: self.parts], x[self.parts : self.kept], x[self.kept :]
        found: Floats = self.margins @ a + v[self.choice] + w[self.rival]
        return found

    def transposed(self, y: Floats) -> Floats:
        """Return the sums of y over the constraints in which each variable stands."""
        at_choice = np.bincount(self.choice, y, self.choices)
        at_rival = np.bincount(self.rival, y, self.rivals)
        return np.concatenate([self.margins.T @ y, at_choice, at_rival])

    def start(self) -> _Point:
        """Return equal shares with slack enough, and duals that leave each variable a cost."""
        shares = np.full(self.parts, 1 / self.parts)
        needed = max(0.0, float(-(self.margins @ shares).min())) + 1
        x = np.concatenate([shares, np.full(self.choices + self.rivals, needed)])
        degree = self.transposed(np.ones(len(self.choice)))[self.parts :].max()
        y = np.full(len(self.choice), 0.5 / degree)
        return self._point(x, y, -float(self.transposed(y)[: self.parts].max()) - 1)

    def _point(self, x: Floats, y: Floats, price: float) -> _Point:
        cost = np.ones(len(x))
        cost[: self.parts] = -price
        return _Point(x, cost - self.transposed(y), self.times(x), y, price)

    def step(self, point: _Point) -> _Point:
        """Return a point nearer to the optimum."""
        x, z, s, y = point.x, point.z, point.s, point.y
        solve = self._solver(z / x, y / s)
        size = len(x) + len(s)
        dx, dz, ds, dy, dprice = self._direction(solve, point, -x * z, -s * y)
        far, near = _reach(x, dx, s, ds), _reach(z, dz, y, dy)
        ahead = (x + far * dx) @ (z + near * dz) + (s + far * ds) @ (y + near * dy)
        centre = (ahead / point.gap) ** 3 * point.gap / size
        dx, dz, ds, dy, dprice = self._direction(
            solve, point, centre - x * z - dx * dz, centre - s * y - ds * dy
        )
        far, near = _SHORTER * _reach(x, dx, s, ds), _SHORTER * _reach(z, dz, y, dy)
        moved = x + far * dx
        moved[: self.parts] /= moved[: self.parts].sum()  # what rounding has lost
        return self._point(moved, y + near * dy, point.price + near * dprice)

    def _direction(
        self, solve: Any, point: _Point, at_x: Floats, at_s: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, float]:
        x, z, s, y = point.x, point.z, point.s, point.y
        plain = solve(at_x / x + self.transposed(at_s / s))
        dprice = -float(plain[: self.parts].sum() / solve.unit[: self.parts].sum())
        dx = plain + solve.unit * dprice
        ds = self.times(dx)
        return dx, (at_x - z * dx) / x, ds, (at_s - y * ds) / s, dprice

    def _solver(self, own: Floats, weight: Floats) -> "_Solver":
        """Return what solves (diag own + G' diag weight G) x = b, G being the constraints."""
        weighted = self.margins * weight[:, None]
        dense = np.diag(own[: self.kept]).copy()
        dense[: self.parts, : self.parts] += self.margins.T @ weighted
        at_choice = np.stack([np.bincount(self.choice, c, self.choices) for c in weighted.T])
        dense[: self.parts, self.parts : self.kept] += at_choice
        dense[self.parts : self.kept, : self.parts] += at_choice.T
        places = np.arange(self.parts, self.kept)
        dense[places, places] += np.bincount(self.choice, weight, self.choices)
        cross = np.zeros((self.kept, self.rivals))
        cross[: self.parts] = [np.bincount(self.rival, c, self.rivals) for c in weighted.T]
        cross[self.parts + self.choice, self.rival] = weight
        single = own[self.kept :] + np.bincount(self.rival, weight, self.rivals)
        return _Solver(dense, cross, single, self.parts)

    def certified(self, point: _Point) -> tuple[Floats, float, float]:
        """Return shares, their slack, and a bound from duals made feasible."""
        shares = np.maximum(point.x[: self.parts], 0)
        shares /= shares.sum()
        short = -self.times(np.concatenate([shares, np.maximum(point.x[self.parts :], 0)]))
        more = np.zeros(self.choices)
        np.maximum.at(more, self.choice, short)
        slack = float(np.maximum(point.x[self.parts :], 0).sum() + more.sum())
        y = np.maximum(point.y, 0)
        y /= max(1.0, float(self.transposed(y)[self.parts :].max()))
        return shares, slack, float(-(self.margins.T @ y).max())


class _Solver:
    """Solves [[dense, cross], [cross', diag single]] x = b by its Schur complement."""

    def __init__(self, dense: Floats, cross: Floats, single: Floats, parts: int) -> None:
        self._dense, self._cross, self._single, self._kept = dense, cross, single, len(dense)
        self._inverse = np.linalg.inv(dense - (cross / single) @ cross.T)
        first = np.zeros(len(dense) + len(single))
        first[:parts] = 1
        self.unit = self(first)
        """The solution for ones at the shares: how the price of their sum moves all."""

    def __call__(self, given: Floats) -> Floats:
        found = self._once(given)
        for _ in range(2):  # what rounding has lost
            top, rest = found[: self._kept], found[self._kept :]
            product = [self._dense @ top + self._cross @ rest, self._cross.T @ top]
            product[1] += self._single * rest
            found = found + self._once(given - np.concatenate(product))
        return found

    def _once(self, given: Floats) -> Floats:
        top, rest = given[: self._kept], given[self._kept :]
        x = self._inverse @ (top - self._cross @ (rest / self._single))
        return np.concatenate([x, (rest - self._cross.T @ x) / self._single])


def _reach(x: Floats, dx: Floats, s: Floats, ds: Floats) -> float:
    """Return how much of a step keeps everything above 0, at most all of it."""
    longest = 1.0
    for value, change in ((x, dx), (s, ds)):
        falling = change < 0
        if falling.any():
            longest = min(longest, float((-value[falling] / change[falling]).min()))
    return longest
