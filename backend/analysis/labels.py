"""One label per head, by rules that are stated; the first rule that fits decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.sinks import THRESHOLD
from tokenarium.backend.analysis.taxonomy import PerHead

RETRIEVAL_ABOVE = 0.1
POINTS_ABOVE = 0.3
LOCAL_BELOW = 0.25
BROAD_ABOVE = 0.9

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelRule:
    """A kind of head and what makes a head one of it."""

    label: str
    definition: str
    holds: Callable[[Mapping[str, PerHead], float], Marks]


def head_labels(measures: Mapping[str, PerHead], threshold: float = THRESHOLD) -> NDArray[np.str_]:
    """Return [L, H]: the label of the first rule in ``LABEL_RULES`` that fits each head.

    Rules whose evidence is missing (another text, a probe) fit no head.

    Args:
        measures: from ``head_measures``.
        threshold: sink score above which a head is dormant.
    """
    rules = [rule.holds(measures, threshold) for rule in LABEL_RULES]
    names = [rule.label for rule in LABEL_RULES]
    labels: NDArray[np.str_] = np.select(rules, names, default="mixed")
    return labels


def _above(name: str, least: float) -> Callable[[Mapping[str, PerHead], float], Marks]:
    return lambda measures, _: measures[name] > least


def _switches(measures: Mapping[str, PerHead], threshold: float) -> Marks:
    if "other_sink" not in measures:
        return np.zeros(measures["sink"].shape, bool)
    here, there = measures["sink"], measures["other_sink"]
    marks: Marks = np.isfinite(there) & ((here > threshold) != (there > threshold))
    return marks


def _retrieves(measures: Mapping[str, PerHead], _: float) -> Marks:
    shape = measures["sink"].shape
    best = np.maximum(
        measures.get("echo", np.zeros(shape)), measures.get("induction", np.zeros(shape))
    )
    marks: Marks = best > RETRIEVAL_ABOVE
    return marks


LABEL_RULES = (
    LabelRule(
        "not measured",
        "the run stopped before this layer",
        lambda measures, _: ~np.isfinite(measures["sink"]),
    ),
    LabelRule(
        "retrieval",
        f"echo or induction score above {RETRIEVAL_ABOVE}: the head finds earlier copies, "
        "also where it rests on this text",
        _retrieves,
    ),
    LabelRule(
        "active-dormant",
        "sink score above the threshold on one of the two texts only (Guo et al., 2024, "
        "arXiv:2410.13835)",
        _switches,
    ),
    LabelRule(
        "dormant",
        "sink score above the threshold on this text, and on the other text where there is one: "
        "the head parks its attention on the first token",
        lambda measures, threshold: measures["sink"] > threshold,
    ),
    LabelRule(
        "previous token",
        f"previous-token attention above {POINTS_ABOVE}",
        _above("previous", POINTS_ABOVE),
    ),
    LabelRule("self", f"attention to itself above {POINTS_ABOVE}", _above("self", POINTS_ABOVE)),
    LabelRule(
        "local",
        f"mean distance below {LOCAL_BELOW} of that of uniform attention",
        lambda measures, _: measures["distance"] < LOCAL_BELOW,
    ),
    LabelRule(
        "broad",
        f"entropy above {BROAD_ABOVE} of that of uniform attention",
        _above("entropy", BROAD_ABOVE),
    ),
    LabelRule("mixed", "none of the above", lambda m, _: np.ones(m["sink"].shape, bool)),
)
