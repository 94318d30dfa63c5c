"""Scores that are means of draws, with their intervals."""

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.attribution.attributor import Attribution

_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % points of Student's t with 1 to 9 degrees of freedom."""
_FURTHER = ((15, 2.131), (20, 2.086), (30, 2.042), (60, 2.000))


def student(freedom: int) -> float:
    """Return the 97.5 % point of Student's t, never too small a one."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return next((point for count, point in reversed(_FURTHER) if count <= freedom), 2.262)


def with_interval(draws: NDArray[np.float64], notes: tuple[str, ...] = ()) -> Attribution:
    """Return the means [U] of independent draws [N, U] with 95 % intervals; N is two at least."""
    count = len(draws)
    mean = draws.mean(0)
    half = student(count - 1) * draws.std(0, ddof=1) / count**0.5
    return Attribution(mean, mean - half, mean + half, notes=notes)
