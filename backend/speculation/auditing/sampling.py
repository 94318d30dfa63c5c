"""A short continuation, sampled again and again, has the target's distribution."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.auditing.significance import (
    POWER,
    SIGNIFICANCE,
    chi_square_tail,
    least_found,
)

NAME = "sampled law"
"""Name of the check, as stored with runs."""
LEAST_EXPECTED = 5.0
"""Continuations that are expected more seldom share a cell."""

Continuation = tuple[int, ...]


def likely_continuations(
    probs: Callable[[Sequence[int]], Tensor],
    prompt: Sequence[int],
    length: int,
    least: float,
    ends: Iterable[int] = (),
) -> dict[Continuation, float]:
    """Return every continuation of at least some probability, and its probability.

    Args:
        probs: the target's distribution [V] after some tokens.
        prompt: tokens before.
        length: of continuations, tokens.
        least: smallest probability.
        ends: tokens after which nothing follows.
    """
    stop, found = set(ends), dict[Continuation, float]()
    waiting: list[tuple[float, Continuation]] = [(-1.0, ())]
    while waiting:
        negative, begun = heapq.heappop(waiting)
        if len(begun) == length or (begun and begun[-1] in stop):
            found[begun] = -negative
            continue
        reached = probs([*prompt, *begun]).double() * -negative
        for token in (reached >= least).nonzero()[:, 0].tolist():
            heapq.heappush(waiting, (-float(reached[token]), (*begun, token)))
    return found


def check_sampling(
    sample: Callable[[int], Sequence[int]],
    probs: Callable[[Sequence[int]], Tensor],
    prompt: Sequence[int],
    *,
    samples: int = 2000,
    length: int = 2,
    ends: Iterable[int] = (),
    seed: int = 0,
) -> Check:
    """Test with chi-square whether continuations have the target's distribution.

    Args:
        sample: from a seed to new tokens; longer ones are cut.
        probs: the target's distribution [V] after some tokens, exact.
        prompt: tokens before.
        samples: how many continuations to draw, with the seeds from ``seed``.
        length: of continuations, tokens.
        ends: tokens after which nothing follows.
        seed: the first.
    """
    expected = likely_continuations(probs, prompt, length, LEAST_EXPECTED / samples, ends)
    counted = Counter(tuple(sample(seed + at)[:length]) for at in range(samples))
    cells = [(counted.pop(tokens, 0), samples * chance) for tokens, chance in expected.items()]
    seldom, rest = sum(counted.values()), samples * max(0.0, 1 - sum(expected.values()))
    if rest < 1e-6 * samples and seldom:
        return Check(
            NAME,
            "failed",
            f"{seldom} of {samples} continuations are impossible under the target's law.",
            {"samples": float(samples), "impossible": float(seldom)},
        )
    if rest >= LEAST_EXPECTED or not cells:
        cells.append((seldom, rest))
    else:
        count, chance = cells.pop()
        cells.append((count + seldom, chance + rest))
    return _judged(cells, samples, length)


def _judged(cells: list[tuple[int, float]], samples: int, length: int) -> Check:
    if len(cells) < 2:
        evidence = "The target leaves no choice: one continuation has all the probability."
        return Check(NAME, "not applicable", evidence, {"samples": float(samples)})
    statistic = sum((count - chance) ** 2 / chance for count, chance in cells)
    freedom = len(cells) - 1
    probability, least = chi_square_tail(statistic, freedom), least_found(samples, freedom)
    evidence = (
        f"{samples} continuations of {length} tokens in {len(cells)} cells: chi-square "
        f"{statistic:.1f}, p = {probability:.2g} (fails below {SIGNIFICANCE:g}); a total variation "
        f"of {least:.2g} between cells would be found with power {POWER:g}."
    )
    numbers = {
        "samples": float(samples),
        "chi_square": statistic,
        "degrees_of_freedom": float(freedom),
        "p_value": probability,
        "found_total_variation": least,
        "total_variation": sum(abs(count - chance) for count, chance in cells) / samples / 2,
    }
    return Check(NAME, "passed" if probability >= SIGNIFICANCE else "failed", evidence, numbers)
