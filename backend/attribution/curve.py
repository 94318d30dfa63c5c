"""How far the target falls as more and more of the highest units are deleted."""

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.attribution.check import Valued


def curve_points(units: int, k: int) -> list[int]:
    """Return how many units are deleted: one, and ``k`` with its quarter, half and double.

    ``curve_points(100, 20)`` is ``[1, 5, 10, 20, 40]``, ``curve_points(3, 2)`` is ``[1, 2, 3]``.
    """
    return sorted({1, max(1, k // 4), max(1, k // 2), k, min(2 * k, units)})


def deletion_curve(
    game: Valued, scores: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return [J] how many of the highest units are deleted together, and [J] the fall in nats.

    Args:
        game: the text.
        scores: [U] of the method.
        k: units that the check deletes.
    """
    points = curve_points(len(scores), k)
    kept = np.ones((len(points), len(scores)), bool)
    best = np.argsort(-scores, kind="stable")  # ties go to the earlier unit, as in the check
    for row, point in zip(kept, points, strict=True):
        row[best[:point]] = False
    return np.array(points, np.int32), game.whole - game.values(kept)
