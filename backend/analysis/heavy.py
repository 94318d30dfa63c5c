"""Heavy hitters: how attention accumulates on few tokens, and how many those are."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.noise import accumulated_noise_by_layer
from tokenarium.backend.trace.result import TraceResult

COVERAGE_SHARES = (0.5, 0.8, 0.9, 0.95)

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]


def accumulated_mass(result: TraceResult, factor: float = 1.0) -> NDArray[np.float32]:
    """Return [L, H, T]: attention accumulated by each key, sum over queries of f^(T-1-i) A[i, j].

    Paper: Zhang et al., 2023, arXiv:2306.14048 (f = 1); Jo & Shin, 2024, arXiv:2407.20485 (f < 1).
    Args:
        factor: 1, or one of the forgetting factors the trace was asked for.
    Raises: ValueError if the trace has no such factor.
    """
    if factor in result.forgetting:
        return result.decayed_mass[:, :, result.forgetting.index(factor)]
    if factor == 1:
        queries = np.arange(result.length, 0, -1, dtype=np.float32)
        return (result.received_mass * queries).astype(np.float32)
    known = ", ".join(map(str, sorted({1.0, *result.forgetting}, reverse=True)))
    raise ValueError(
        f"factor={factor} was not measured, only {known}: choose one of these, or trace again with "
        f"{factor} among the forgetting factors"
    )


def chosen_mean(values: Floats, layer: int | None = None, head: int | None = None) -> Doubles:
    """Return [T]: the mean over a head, a layer (head None) or everything (both None).

    Layers that are not measured yet (NaN) are left out of a mean; NaN where nothing is known.

    Args:
        values: [L, H, T].
    Raises: ValueError if a head is given without its layer.
    """
    if layer is None and head is not None:
        raise ValueError(f"head={head} has no layer: give the layer too, or neither")
    rows = values if layer is None else values[layer] if head is None else values[layer, head]
    return known_mean(rows.reshape(-1, values.shape[-1]), 0)


def known_mean(values: Floats, axis: int | tuple[int, ...]) -> Doubles:
    """Return the mean over the finite entries along ``axis``; NaN where there is none."""
    total: Doubles = values.sum(axis, dtype=np.float64)
    count = np.full(total.shape, values.size // max(1, total.size))
    if not np.isfinite(total).all():
        known = np.isfinite(values)
        total, count = np.where(known, values, 0).sum(axis, dtype=np.float64), known.sum(axis)
    mean: Doubles = np.where(count, total / np.maximum(count, 1), np.nan)
    return mean


def accumulated_chance(
    result: TraceResult, factor: float = 1.0, layer: int | None = None
) -> Doubles:
    """Return [T]: what uniform attention accumulates, for one layer or as the mean of all."""
    noise = accumulated_noise_by_layer(result, factor)
    chosen: Doubles = noise.mean(0) if layer is None else noise[layer]
    return chosen


def times_noise(mass: Floats, noise: Floats) -> Doubles:
    """Return mass over noise; NaN where the noise is too small for single precision.

    With a small forgetting factor the oldest keys of a long text hold less than 1e-37 in total,
    where a comparison would be one of rounding errors.

    Args:
        mass, noise: [..., T], the same statistic of the model and of uniform attention.
    """
    enough = noise > float(np.finfo(np.float32).tiny) * 10
    return np.where(enough, mass / np.where(enough, noise, 1), np.nan)


def coverage(mass: Floats, shares: tuple[float, ...] = COVERAGE_SHARES) -> Doubles:
    """Return [..., n]: share of tokens that hold at least each share of the mass, heaviest first.

    Args:
        mass: [..., T], not negative. Rows with an unknown entry or no mass give NaN.
        shares: n shares of the mass, each in (0, 1].
    Raises: ValueError if a share is outside (0, 1].
    """
    if not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares={shares} are not all within (0, 1]: give shares of the mass")
    length = mass.shape[-1]
    rows = mass.reshape(-1, length)
    found = np.full((len(rows), len(shares)), np.nan)
    for number, row in enumerate(rows):
        held = held_by_heaviest(row)
        if np.isfinite(held[-1]):
            # A millionth less: shares that are met exactly must not be missed by rounding.
            needed = np.searchsorted(held, np.array(shares) - 1e-6) + 1
            found[number] = np.minimum(needed, length) / length
    return found.reshape(*mass.shape[:-1], len(shares))


def held_by_heaviest(mass: Floats) -> Doubles:
    """Return [..., T]: share of the mass held by the 1, 2, ... heaviest tokens."""
    ordered = np.sort(mass, axis=-1)[..., ::-1]
    held: Doubles = np.cumsum(ordered, axis=-1, dtype=np.float64)
    total = held[..., -1:]
    return np.where(total > 0, held / np.where(total > 0, total, 1), np.nan)


def heaviest(mass: Floats, count: int) -> NDArray[np.bool_]:
    """Return [N, T]: true for the ``count`` heaviest tokens of each row; ties go to the older.

    Args:
        mass: [N, T]; a row with an unknown entry has no heavy tokens.
        count: tokens in a set, cut to T.
    Raises: ValueError if count is below 1.
    """
    if count < 1:
        raise ValueError(f"count={count} leaves the sets empty: give at least 1 token")
    members = np.zeros(mass.shape, bool)
    first = np.argsort(-mass, axis=-1, kind="stable")[:, :count]
    np.put_along_axis(members, first, True, axis=-1)
    members[~np.isfinite(mass).all(-1)] = False
    return members


def overlap(mass: Floats, count: int) -> Doubles:
    """Return [N, N]: Jaccard overlap of the heaviest tokens of each two rows.

    Shared tokens over tokens in either set; 1 for equal sets, NaN beside a row that is unknown.
    """
    members = heaviest(mass, count).astype(np.float32)
    shared = (members @ members.T).astype(np.float64)
    sizes = members.sum(-1, dtype=np.float64)
    either = sizes[:, None] + sizes - shared
    known = (sizes[:, None] > 0) & (sizes > 0)
    return np.where(known, shared / np.where(known, either, 1), np.nan)


@cache
def chance_overlap(length: int, count: int) -> float:
    """Return the mean Jaccard overlap of two random sets of ``count`` out of ``length`` tokens.

    The number of shared tokens is hypergeometric; the mean is the sum over all its values.
    """
    count = min(count, length)
    least = max(0, 2 * count - length)
    shared = np.arange(least, count + 1, dtype=np.float64)
    x = shared[:-1]
    # Each probability from the one before it, in logarithms: counts of sets are astronomical.
    step = 2 * np.log(count - x) - np.log(x + 1) - np.log(length - 2 * count + x + 1)
    logs = np.concatenate([[0.0], np.cumsum(step)])
    odds = np.exp(logs - logs.max())
    return float((odds * shared / (2 * count - shared)).sum() / odds.sum())
