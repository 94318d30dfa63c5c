"""The chosen head has a property."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tokenarium.backend import TraceResult, accumulated_mass, coverage
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


@check
def head_rests_on_few(seen: Seen, share: float, most: float) -> Verdict:
    """Say whether few tokens hold a share of the attention of the chosen head.

    Args:
        seen: what is in sight.
        share: of the attention, such as 0.9.
        most: share of the tokens that may hold it.
    """
    result, place = seen.trace, seen.chosen
    held = coverage(accumulated_mass(result, 1.0), (share,))[..., 0]
    found = float(held[place.layer, place.head])
    said = (
        f"In layer {place.layer}, head {place.head}, {found:.0%} of the tokens hold {share:.0%} of "
        "the attention"
    )
    if found <= most:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for {most:.0%} of the tokens or less.")


def _of_head(seen: Seen, metric: str) -> tuple[float, str]:
    place, known = seen.chosen, METRICS[metric]
    found = float(_values(seen.trace, metric)[place.layer, place.head])
    if not np.isfinite(found):
        return float("nan"), f"Layer {place.layer} has no head {place.head}"
    return found, f"Layer {place.layer}, head {place.head} gives {known.shown(found)} {known.words}"


def _values(result: TraceResult, metric: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(head_values(result, metric))
