"""Two runs side by side: the same measures on the same scales, and the heads that switch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.sinks import THRESHOLD, sink_scores
from tokenarium.backend.analysis.taxonomy import HeadEvidence, PerHead, head_measures
from tokenarium.backend.trace.result import TraceResult


@dataclass(frozen=True)
class Comparison:
    """Two runs of models with the same number of layers and heads."""

    threshold: float
    length: int
    """Queries that both sink scores are means of, tokens: no more than the shorter text has."""
    first: Mapping[str, PerHead]
    """[L, H] by measure (see ``MEASURES``), of the first run."""
    second: Mapping[str, PerHead]
    switched: NDArray[np.bool_]
    """[L, H]: sink score above the threshold in one run and not in the other."""

    def difference(self, measure: str) -> PerHead:
        """Return [L, H]: the second run less the first."""
        return self.second[measure] - self.first[measure]


def compare(
    first: TraceResult,
    second: TraceResult,
    threshold: float = THRESHOLD,
    length: int | None = None,
) -> Comparison:
    """Compare two runs head by head; their texts may differ, their models in weights only.

    Args:
        threshold: sink score above which a head is dormant.
        length: queries that a sink score is the mean of, cut to the shorter text; None takes all of
            that.
    Raises: ValueError if the numbers of layers or heads differ.
    """
    one, two = first.sink_score.shape, second.sink_score.shape
    if one != two:
        raise ValueError(
            f"the first run has {one[0]} layers of {one[1]} heads, the second {two[0]} of {two[1]}:"
            " heads can be paired only between runs of one model, or of two models of one shape"
        )
    shared = min(first.length, second.length, *([] if length is None else [length]))
    windows = [None if shared == run.length else shared for run in (first, second)]
    here, there = (sink_scores(run, n) for run, n in zip((first, second), windows, strict=True))
    known = np.isfinite(here) & np.isfinite(there)
    return Comparison(
        threshold=threshold,
        length=shared,
        first=head_measures(HeadEvidence(first, length=windows[0])),
        second=head_measures(HeadEvidence(second, length=windows[1])),
        switched=known & ((here > threshold) != (there > threshold)),
    )


def token_difference(
    first: TraceResult, second: TraceResult, values: str = "surprisal_nats"
) -> NDArray[np.float32]:
    """Return [T]: a per-token quantity of the second run less that of the first.

    Args:
        values: name of a field of shape [T].
    Raises: ValueError if the two runs did not read the same tokens.
    """
    if not np.array_equal(first.token_ids, second.token_ids):
        raise ValueError(
            f"the runs read different tokens ({first.length} and {second.length}): differences by "
            "token need one text and one tokenizer"
        )
    difference: NDArray[np.float32] = getattr(second, values) - getattr(first, values)
    return difference
