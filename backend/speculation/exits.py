"""What exits of a model promise: how often each says the text, and what drafting there gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenarium.backend.speculation.result import SpeculationResult

LONGEST = 8
"""Tokens of the longest chain that ``exits`` looks at."""


@dataclass(frozen=True)
class Exit:
    """One layer that a model may be left after."""

    layers: int
    """That draft."""
    agreement: float
    """Share of the text that the layer alone would have said, the mean over rounds."""
    promised: float
    """Tokens by the best chain of up to ``LONGEST``, over those of plain decoding in as many passes
    of a layer; below 1 drafting there loses."""
    rounds: int
    """In which it drafted."""


def tokens_per_layer(agreement: float, length: int, exit_: int, layers: int) -> float:
    """Return the tokens that a round promises for each pass of a layer.

    A chain of 2 by 2 of 4 layers, each token right half of the time, gives 1 + 1/2 + 1/4 tokens for
    2 * 2 + 4 passes:

    >>> tokens_per_layer(0.5, 2, 2, 4)
    0.21875

    Args:
        agreement: chance that a token of the exit is accepted.
        length: of the chain.
        exit_: layers that draft.
        layers: of the target.
    """
    tokens = sum(agreement**depth for depth in range(length + 1))
    return tokens / (length * exit_ + layers)


def exits(result: "SpeculationResult") -> list[Exit]:
    """Return the exits that a run looked at; none where it did not look."""
    agreement = result.exit_agreement
    if agreement is None or not np.isfinite(agreement).any():
        return []
    count = agreement.shape[1]
    nodes = result.node_columns
    drafted = nodes[(nodes["draw_order"] == 0) & (nodes["depth"] == 1)]["source"]
    used = np.bincount(drafted, minlength=len(result.sources))
    rounds = dict(zip(result.sources, used.tolist(), strict=True))
    found = []
    for layer in np.flatnonzero(np.isfinite(agreement).any(0)).tolist():
        share = float(np.nanmean(agreement[:, layer]))
        best = max(
            tokens_per_layer(share, length, layer + 1, count) for length in range(1, LONGEST + 1)
        )
        of_it = rounds.get(f"layer {layer + 1}", 0)
        found.append(Exit(layer + 1, share, best * count, of_it))
    return found
