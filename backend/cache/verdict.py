"""Which policy of a run costs least at one size of the cache, where that can be said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenarium.backend.analysis.intervals import Interval, batch_means
from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.result import CacheResult

ALIKE = 1.05
"""Caches whose bytes differ by less than this factor count as equally large."""


@dataclass(frozen=True)
class Judged:
    """What one policy costs."""

    run: PolicyRun
    kl_nats: float
    """Mean divergence of the predictions from the full cache's."""
    interval: Interval | None
    """Of ``kl_nats``; None where the steps are too few."""
    lost: float
    """Mean share of the full model's attention that goes to what is not there; NaN if unknown."""
    missed: int | None
    """Position whose weights, of those the full model gave to what is gone, add up to most."""

    @property
    def bytes(self) -> int:
        """What the cache takes after the last step."""
        return int(self.run.cache_bytes[-1])


@dataclass(frozen=True)
class CacheVerdict:
    """Policies of one size, ranked by divergence as far as their intervals allow."""

    share: float | None
    """Of the full cache's bytes; None where no run kept all."""
    bytes: int
    n: int
    """Steps, the fewest of any policy."""
    least: tuple[Judged, ...]
    """The one of least divergence, and those whose intervals overlap its own."""
    more: tuple[Judged, ...]
    """Those of more divergence, ascending."""
    others: tuple[Judged, ...]
    """Those of another size."""

    @property
    def ranked(self) -> bool:
        """Whether there are enough steps for intervals."""
        return all(one.interval is not None for one in (*self.least, *self.more))


def cache_verdict(result: CacheResult) -> CacheVerdict | None:
    """Return what a run says about its policies; None where no divergence was measured.

    Of the sizes that the caches have, the one that most policies share is judged, of several the
    smallest.

    Args:
        result: of a run, finished or not.
    """
    measured = [run for run in result.runs if run.steps and np.isfinite(run.kl_nats).any()]
    judged = [_judged(run) for run in measured if run.label != "nothing"]
    if not judged:
        return None
    full = next((run for run in measured if run.label == "nothing"), None)
    groups = [[one for one in judged if _alike(one, base)] for base in judged]
    same = max(groups, key=lambda group: (len(group), -group[0].bytes))
    best, *rest = sorted(same, key=lambda one: one.kl_nats)
    close = [one for one in rest if _undecided(best, one)]
    size = best.bytes
    return CacheVerdict(
        None if full is None else size / int(full.cache_bytes[-1]),
        size,
        min(one.run.steps for one in same),
        (best, *close),
        tuple(one for one in rest if one not in close),
        tuple(one for one in judged if one not in same),
    )


def _judged(run: PolicyRun) -> Judged:
    result, number = run.result, run.number
    lost = result.lost_mass[number, : run.steps]
    known = np.isfinite(lost)
    return Judged(
        run,
        float(run.kl_nats[np.isfinite(run.kl_nats)].mean()),
        batch_means(run.kl_nats),
        float(lost[known].mean()) if known.any() else float("nan"),
        _most_missed(result.needed_position[number], result.needed_weight[number]),
    )


def _most_missed(positions: Sequence[int], weights: Sequence[float]) -> int | None:
    places, of = np.asarray(positions), np.asarray(weights, np.float64)
    known = (places >= 0) & np.isfinite(of)
    if not known.any():
        return None
    return int(np.bincount(places[known], of[known]).argmax())


def _alike(one: Judged, other: Judged) -> bool:
    low, high = sorted((one.bytes, other.bytes))
    return high <= ALIKE * low


def _undecided(best: Judged, one: Judged) -> bool:
    if best.interval is None or one.interval is None:
        return True
    return best.interval.overlaps(one.interval)
