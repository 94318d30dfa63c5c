"""Facts of a run that a lesson asks for: computed from it whenever somebody answers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np

from tokenarium.ui.lessons.seen import Seen


@dataclass(frozen=True)
class Fact:
    """What is right, the sentence that says so, and where on the page it stands."""

    value: float | str
    said: str
    where: str


def sink_heads(seen: Seen) -> Fact:
    """Count the heads that give the first token more than 30 % of their attention."""
    scores = seen.trace.sink_score
    count = int((scores > 0.3).sum())
    return Fact(
        count,
        f"{count} of {int(np.isfinite(scores).sum())} heads do.",
        "the sentence over the grid counts them, with the threshold at 0.3",
    )


def value_of_first(seen: Seen) -> Fact:
    """Say whether the value vector of the first token is shorter than the others' usually are."""
    norms = seen.trace.value_norm
    ratio = float(np.nanmedian(norms[..., 0] / np.nanmedian(norms[..., 1:], axis=-1)))
    return Fact(
        "little" if ratio < 1 else "much",
        f"In the median head its value is {ratio:.2f} times as long as the median token's.",
        "look at the value norm in the table under the grid: below 1 it is shorter than others",
    )


FACTS: dict[str, Callable[[Seen], Fact]] = {
    each.__name__: each for each in (sink_heads, value_of_first)
}


def number(text: str) -> float:
    """Return a number as a student typed it; NaN where it is none."""
    try:
        found = float(text.strip().removesuffix("%").replace(",", ".") or "nan")
    except ValueError:
        return float("nan")
    return found if isfinite(found) else float("nan")
