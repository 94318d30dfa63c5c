"""How unsure a model usually is on a prompt: what thresholds are quantiles of."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """Entropy and varentropy at every step of plain decoding, which is done first.

    Thresholds in nats do not transfer from one model to another, quantiles do.
    """

    entropy_nats: NDArray[np.float32]
    varentropy_nats2: NDArray[np.float32]
    surprisal_nats: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """-ln p of the tokens that plain decoding took."""
    tokens: tuple[int, ...] = ()
    """Those tokens, by which another model can be calibrated on the same text."""

    def entropy(self, quantile: float) -> float:
        """Return the entropy that a share of the steps of plain decoding stay below, in nats."""
        return _quantile(self.entropy_nats, quantile)

    def varentropy(self, quantile: float) -> float:
        """Return the same of the varentropy, in nats^2."""
        return _quantile(self.varentropy_nats2, quantile)


NOTHING = Calibration(np.zeros(0, np.float32), np.zeros(0, np.float32))
"""Where plain decoding itself is done: no threshold is ever reached."""


def _quantile(values: NDArray[np.float32], quantile: float) -> float:
    return float(np.quantile(values.astype(np.float64), quantile)) if len(values) else float("inf")
