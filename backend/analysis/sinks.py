"""Attention sinks: which heads park their attention, on which tokens, and what those look like."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.classes import CLASSES, token_classes
from tokenarium.backend.trace.result import TraceResult

THRESHOLD = 0.3
LENGTH_TOKENS = 64
LATER_QUERIES = 16
MASSIVE_ABOVE, MASSIVE_TIMES = 100.0, 1000.0


@dataclass(frozen=True)
class Dimension:
    """One large dimension of the residual stream at a token."""

    layer: int
    """The stream entering this layer; L is before the final norm."""
    dim: int
    value: float
    times_median: float
    """|value| over the median |h| of the same token."""
    massive: bool
    """Over 100 and over 1,000 times the median (Sun et al., 2024, arXiv:2402.17762)."""


@dataclass(frozen=True)
class Sink:
    """A token on which at least one head parks its attention, and what is special about it."""

    position: int
    token_class: str
    heads: tuple[tuple[int, int], ...]
    """(layer, head) of every head above the threshold, strongest first."""
    layer: int
    """Layer of the strongest head."""
    head: int
    """The strongest head."""
    score: float
    """Mean attention of the queries that see this token, in the strongest head."""
    queries: int
    """How many queries that is the mean of; few late in the text, so that scores there say less."""
    value_ratio: float
    """Its value norm over the median value norm of that layer and KV group; below 1 is drained."""
    key_ratio: float
    """The same for the key norm."""
    residual_ratio: float
    """Highest over layers of its residual norm over the median of that layer."""
    residual_layer: int
    """Where that peak is: the stream entering this layer."""
    dimensions: tuple[Dimension, ...]
    """The largest dimensions of the stream there, by falling size."""


def sink_scores(result: TraceResult, length: int | None = None) -> NDArray[np.float32]:
    """Return [L, H]: mean attention of the first ``length`` queries to the first token.

    Paper: Gu et al., 2024, arXiv:2410.10781, which takes 64 tokens (``LENGTH_TOKENS``). A shorter
    text gives all its queries.
    Args:
        length: queries, tokens; the first token itself is one of them. None takes the whole text:
            the run's own ``sink_score``.
    Raises: ValueError if length is below 1.
    """
    if length is None:
        return result.sink_score
    if length < 1:
        raise ValueError(f"length={length} leaves no query to average: give at least 1 token")
    scores: NDArray[np.float32] = result.first_mass[:, :, :length].mean(-1)
    return scores


def sink_rate(scores: NDArray[np.floating], threshold: float = THRESHOLD) -> float:
    """Return the share of measured heads whose score is above ``threshold``; NaN where none is."""
    known = scores[np.isfinite(scores)]
    return float((known > threshold).mean()) if known.size else float("nan")


def seeing_queries(result: TraceResult) -> NDArray[np.int64]:
    """Return [L, T]: how many queries of each layer see each key, its own included."""
    later = np.arange(result.length, 0, -1)
    windows = result.attention_window[:, None]
    return np.minimum(later, np.where(windows > 0, windows, result.length))


def seen_mass(result: TraceResult) -> NDArray[np.float32]:
    """Return [L, H, T]: mean attention to each key, over the queries that can see it.

    Equal to received attention except in layers with a window, where received attention also
    counts the queries that have left the key behind.
    """
    later = np.arange(result.length, 0, -1)
    return result.received_mass * (later / seeing_queries(result)).astype(np.float32)[:, None]


def over_median(norms: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return [..., T]: each norm over the median of its row; NaN where that is 0 or unknown."""
    median = np.median(norms, axis=-1, keepdims=True)
    return np.where(median > 0, norms / np.where(median > 0, median, 1), np.nan)


def find_sinks(
    result: TraceResult,
    threshold: float = THRESHOLD,
    later: int = LATER_QUERIES,
    most: int | None = None,
) -> tuple[Sink, ...]:
    """Return every sink of the text in order of position, wherever it stands.

    A sink is a token to which some head gives more than ``threshold`` of the attention of the
    queries that see it, on average (as in Yu et al., 2024, arXiv:2406.15765, any column counts).
    The last ``later`` tokens are left out: the mean over a handful of queries, which includes the
    token's own, says nothing about a sink. So is the first token of a text that short.

    Args:
        threshold: share of attention in (0, 1).
        later: least number of queries after the token.
        most: keep so many, those with the highest score; None keeps all.
    Raises: ValueError if threshold is outside (0, 1) or later is negative.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold={threshold} is not within (0, 1): give a share of attention")
    if later < 0:
        raise ValueError(f"later={later} is negative: give a number of queries, 0 or more")
    mass = seen_mass(result)[:, :, : max(0, result.length - later)]
    above = mass > threshold
    found = np.flatnonzero(above.any((0, 1)))
    if not len(found):
        return ()
    strength = mass[:, :, found].max((0, 1))
    positions = np.sort(found[np.argsort(-strength, kind="stable")[:most]]).tolist()
    known = _Measured(result)
    classes = token_classes(result)
    return tuple(_sink(j, mass[:, :, j], above[:, :, j], known, int(classes[j])) for j in positions)


class _Measured:
    """What all sinks are measured against, computed once."""

    def __init__(self, result: TraceResult) -> None:
        self.result = result
        self.seeing = seeing_queries(result)
        self.value = over_median(result.value_norm)
        self.key = over_median(result.key_norm)
        self.residual = over_median(result.residual_norm)

    def dimensions(self, layer: int, position: int) -> tuple[Dimension, ...]:
        result = self.result
        median = float(result.residual_median[layer, position])
        dims = result.residual_top_dims[layer, position].tolist()
        values = result.residual_top_values[layer, position].tolist()
        return tuple(
            Dimension(
                layer,
                dim,
                value,
                abs(value) / median if median > 0 else float("inf"),
                abs(value) > MASSIVE_ABOVE and abs(value) > MASSIVE_TIMES * median,
            )
            for dim, value in zip(dims, values, strict=True)
            if dim >= 0
        )


def _sink(
    position: int,
    mass: NDArray[np.float32],
    above: NDArray[np.bool_],
    known: _Measured,
    token_class: int,
) -> Sink:
    heads = [(int(layer), int(head)) for layer, head in np.argwhere(above)]
    heads.sort(key=lambda place: -mass[place])
    layer, head = heads[0]
    group = known.result.kv_head(layer, head)
    peaks = np.nan_to_num(known.residual[:, position], nan=-1.0)
    peak = int(peaks.argmax())
    return Sink(
        position=position,
        token_class=CLASSES[token_class],
        heads=tuple(heads),
        layer=layer,
        head=head,
        score=float(mass[layer, head]),
        queries=int(known.seeing[layer, position]),
        value_ratio=float(known.value[layer, group, position]),
        key_ratio=float(known.key[layer, group, position]),
        residual_ratio=float(known.residual[peak, position]),
        residual_layer=peak,
        dimensions=known.dimensions(peak, position),
    )
