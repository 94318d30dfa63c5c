"""A test of whether tokens were drawn as stated, and how surely it finds another temperature.

Two statistics look at the same tokens. The sum of ln p + entropy is the derivative of the log
likelihood by the inverse temperature: no test finds a slightly wrong temperature more surely. The
Kolmogorov-Smirnov distance of the rank shares finds what leaves that sum alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.auditing.significance import SIGNIFICANCE, kolmogorov_tail
from tokenarium.backend.text_audit.reading import Rows

DRAWS = 20_000
"""Texts drawn along the tokens given, by which the sum's p-value is counted."""
FACTORS = (0.25, 0.5, 0.6, 0.75, 0.9, 1.1, 1.25, 4 / 3, 1.5, 2.0)
"""Temperatures whose power is reported, as shares of the one stated."""
ASKED = (0.75, 4 / 3)
"""Those whose smaller power is the power of the test."""
LEAST_POWER = 0.8
"""Below this a test that does not reject says nothing."""
_AT_ONCE = 2**18
"""Probabilities that are looked at together."""


@dataclass(frozen=True)
class SampledTest:
    """What the test found."""

    p_value: float
    power: float
    score: float
    """Sum of ln p + entropy, in its standard deviations."""
    score_p_value: float
    distance: float
    """Kolmogorov-Smirnov distance of the rank shares from even ones."""
    distance_p_value: float
    tokens: int
    """Tokens that count: those that could be drawn."""
    factor_power: NDArray[np.float64]
    factor_distance: NDArray[np.float64]

    @property
    def rejects(self) -> bool:
        """Whether the text was not drawn as stated."""
        return self.p_value < SIGNIFICANCE


class SampledTester:
    """Sums over tokens, block by block, what the test needs.

    Args:
        seed: of the texts drawn along.
    """

    def __init__(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._drawn = torch.zeros(DRAWS, dtype=torch.float64)
        self._variance = 0.0
        self._moved = np.zeros((len(FACTORS), 3))  # mean, variance, total variation

    def add(self, rows: Rows, counted: NDArray[np.bool_]) -> None:
        """Take the distributions of some tokens into account; ``counted`` [n] those that count."""
        probs = rows.probs[torch.from_numpy(counted).to(rows.probs.device)].cpu()
        for part in probs.split(max(1, _AT_ONCE // probs.shape[-1])):
            self._add(part)

    def _add(self, probs: Tensor) -> None:
        logs = probs.clamp_min(1e-300).log()
        centred = logs - (probs * logs).sum(-1, keepdim=True)
        self._variance += float((probs * centred.square()).sum())
        drawn = torch.multinomial(probs, DRAWS, replacement=True, generator=self._random)
        self._drawn += centred.gather(-1, drawn).sum(0)
        for at, factor in enumerate(FACTORS):
            other = torch.softmax(torch.where(probs > 0, logs / factor, -torch.inf), -1)
            mean = (other * centred).sum(-1)
            spread = (other * centred.square()).sum(-1) - mean.square()
            apart = (other - probs).abs().sum(-1) / 2
            self._moved[at] += [float(mean.sum()), float(spread.sum()), float(apart.sum())]

    def found(self, scores: NDArray[np.float64], shares: NDArray[np.float64]) -> SampledTest | None:
        """Return what the test says; None where the model leaves no choice.

        Args:
            scores: [n] ln p + entropy of the tokens that count.
            shares: [n] their rank shares.
        """
        if not len(scores) or self._variance < 1e-9:
            return None
        scale = math.sqrt(self._variance)
        score = float(scores.sum()) / scale
        beyond = int((self._drawn.abs() >= abs(score) * scale - 1e-9).sum())
        score_p = (1 + beyond) / (1 + DRAWS)
        distance = kolmogorov_distance(shares)
        distance_p = kolmogorov_tail(distance, len(shares))
        mean, spread, apart = self._moved.T
        powers = _powers(mean / scale, spread / self._variance)
        return SampledTest(
            p_value=min(1.0, 2 * min(score_p, distance_p)),
            power=float(min(powers[FACTORS.index(factor)] for factor in ASKED)),
            score=score,
            score_p_value=score_p,
            distance=distance,
            distance_p_value=distance_p,
            tokens=len(scores),
            factor_power=powers,
            factor_distance=apart / len(scores),
        )


def kolmogorov_distance(shares: NDArray[np.float64]) -> float:
    """Return the largest distance of the empirical distribution of ``shares`` from the even one."""
    ordered, count = np.sort(shares), len(shares)
    steps = np.arange(count + 1) / count
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def rank_shares(
    likelier: NDArray[np.float64], own: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return [n] the share of probability before each token, its own share cut at random.

    Args:
        likelier: [n] probability of all likelier tokens.
        own: [n] probability of the token itself.
        seed: of the cuts.
    """
    cuts = np.random.default_rng([seed, 7]).random(len(own))
    return np.minimum(likelier + cuts * own, 1.0)


def _powers(shift: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance that a normal score of some mean and variance is rejected."""
    limit = -_normal_quantile(SIGNIFICANCE / 4)  # two statistics, two sides

    def tail(value: float) -> float:
        return 0.5 * math.erfc(value / math.sqrt(2))

    both: Any = zip(shift.tolist(), np.sqrt(np.maximum(spread, 1e-12)).tolist(), strict=True)
    return np.array([tail((limit - m) / s) + tail((limit + m) / s) for m, s in both])


def _normal_quantile(share: float) -> float:
    return float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))
