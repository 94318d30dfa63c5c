"""What the order of flags alone would give: the bound of premises that compare groups of texts."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

ORDERS = 500
"""Orders that are drawn."""


def chance_bound(
    flags: Sequence[bool],
    score: Callable[[NDArray[np.float64]], float],
    random: np.random.Generator,
) -> float:
    """Return what 95 % of the scores stay at or below where flags stand in an order by chance.

    Args:
        flags: [n] of texts.
        score: of flags in an order.
        random: draws the orders.
    """
    known = np.asarray(flags, np.float64)
    return float(np.quantile([score(random.permutation(known)) for _ in range(ORDERS)], 0.95))
