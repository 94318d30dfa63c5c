"""The chosen head has a property."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tokenarium.backend import TraceResult
from tokenarium.ui.figures.heads import head_values
from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.seen import Seen, Verdict


@dataclass(frozen=True)
class _Said:
    words: str
    """What a head does with so much."""
    shown: Callable[[float], str]


def _share(value: float) -> str:
    return f"{value:.0%}"


METRICS = {
    "sink": _Said("of its attention to the first token", _share),
    "previous": _Said("of its attention to the token just before", _share),
    "self": _Said("of its attention to the token itself", _share),
}


@check
def head_at_least(seen: Seen, metric: str, value: float) -> Verdict:
    """Say whether the chosen head does so at least as much."""
    found, said = _of_head(seen, metric)
    want = METRICS[metric].shown(value)
    return Verdict(
        found >= value, f"{said}." if found >= value else f"{said}; look for {want} or more."
    )


@check
def head_at_most(seen: Seen, metric: str, value: float) -> Verdict:
    """Say whether the chosen head does so at most as much."""
    found, said = _of_head(seen, metric)
    want = METRICS[metric].shown(value)
    return Verdict(
        found <= value, f"{said}." if found <= value else f"{said}; look for {want} or less."
    )


def _of_head(seen: Seen, metric: str) -> tuple[float, str]:
    place, known = seen.chosen, METRICS[metric]
    found = float(_values(seen.trace, metric)[place.layer, place.head])
    if not np.isfinite(found):
        return float("nan"), f"Layer {place.layer} has no head {place.head}"
    return found, f"Layer {place.layer}, head {place.head} gives {known.shown(found)} {known.words}"


def _values(result: TraceResult, metric: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(head_values(result, metric))
