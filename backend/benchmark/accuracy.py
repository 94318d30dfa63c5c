"""How sure an accuracy is, and whether it means anything."""

from math import sqrt

NORMAL_95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


def interval(correct: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of successes.

    Paper: Wilson, 1927, doi:10.1080/01621459.1927.10502953.
    Args:
        correct: successes, 0 to ``trials``.
        trials: independent tries, at least 1.
    Raises: ValueError if there was no trial, or there are more successes than trials.
    """
    if not 0 <= correct <= trials or trials < 1:
        raise ValueError(
            f"correct={correct} of trials={trials}: give at least 1 trial and 0 to {trials} correct"
        )
    share, spread = correct / trials, NORMAL_95**2 / trials
    middle = share + spread / 2
    half = NORMAL_95 * sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return (0.0 if correct == 0 else low), (1.0 if correct == trials else high)


def verdict(what: str, correct: int, trials: int, chance: float) -> str:
    """Say whether a model can do a task with the full cache, so that policies can be judged by it.

    Args:
        what: what was right, such as ``answers``.
        correct: how many were right with the full cache.
        trials: how many there were.
        chance: share that guessing among the answers on offer would give.
    """
    low, high = interval(correct, trials)
    found = (
        f"{correct} of {trials} {what} right, 95 % interval {low:.2f} to {high:.2f}, "
        f"chance {chance:.2g}"
    )
    if low <= chance:
        return f"cannot do it even with the full cache: {found}"
    return f"can do it with the full cache: {found}"
