"""How well a score tells two kinds of text apart, and how well any score could."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tokenarium.backend.judging.judgement import Numbers
from tokenarium.backend.judging.passage import Passage
from tokenarium.backend.judging.resampling import TIMES

WINDOW = 32
"""Tokens of a window: a text is cut into such windows to have several of it."""
LEAST_WINDOWS = 4
DETAILS = {
    "auroc": "AUROC of the score between windows of 32 tokens of the text and the same windows "
    "with tokens drawn from the model; 0.5 tells nothing, and below 0.5 the text scores lower",
    "auroc_low": "lower end of its 95 % interval, windows of the text drawn with replacement",
    "auroc_high": "upper end of its 95 % interval",
    "least_total_variation": "1 - sqrt(2 (1 - max(auroc, 1 - auroc))): windows of text and model "
    "are at least this far apart, since AUROC <= 1/2 + TV - TV^2/2 for every detector "
    "(Sadasivan et al., 2023, arXiv:2303.11156)",
}
"""Formulas of what ``against_draws`` returns, by name."""


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive scores higher than a negative, ties counted half;
    NaN without either."""
    high, low = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    high, low = high[np.isfinite(high)], np.sort(low[np.isfinite(low)])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def auroc_bound(total_variation: float) -> float:
    """Return the highest AUROC of any detector between two distributions of texts.

    Paper: Sadasivan et al., 2023, arXiv:2303.11156, theorem 1. Differs: no.
    Args:
        total_variation: of the two, in [0, 1].
    """
    return 0.5 + total_variation - total_variation**2 / 2


def least_total_variation(area: float) -> float:
    """Return the total variation that two distributions must have for a detector of this AUROC."""
    reached = max(area, 1 - area)
    return float(1 - np.sqrt(2 * (1 - reached)))


def against_draws(
    passage: Passage, own: Numbers, drawn: Numbers, score: Callable[[Numbers], float]
) -> dict[str, float]:
    """Return how well a score tells windows of a text from the model's draws at their places.

    Args:
        passage: the text.
        own: [n] series of the text.
        drawn: [D, n] the same of each drawing.
        score: of a series.
    Returns: the numbers of ``DETAILS``; all NaN below 4 windows.
    """
    count = len(passage) // WINDOW
    if count < LEAST_WINDOWS:
        return dict.fromkeys(DETAILS, float("nan"))
    cuts = [slice(number * WINDOW, (number + 1) * WINDOW) for number in range(count)]
    of_text = np.array([score(own[cut]) for cut in cuts])
    # A few drawings are enough: windows of the text are what there is little of.
    of_model = [score(row[cut]) for row in drawn[:32] for cut in cuts]
    area = auroc(of_text, of_model)
    draw = np.random.default_rng([passage.seed, 3])
    again = [auroc(of_text[draw.integers(0, count, count)], of_model) for _ in range(TIMES)]
    low, high = np.nanquantile(again, [0.025, 0.975]) if np.isfinite(area) else (area, area)
    return {
        "auroc": area,
        "auroc_low": float(low),
        "auroc_high": float(high),
        "least_total_variation": least_total_variation(area),
    }
