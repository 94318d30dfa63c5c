"""What kind of head each head is: measures on comparable scales, and labels by stated rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.heavy import known_mean
from tokenarium.backend.analysis.noise import distance_noise, entropy_noise, layer_windows
from tokenarium.backend.analysis.sinks import LATER_QUERIES, seen_mass, sink_scores
from tokenarium.backend.trace.result import TraceResult

PerHead = NDArray[np.floating]

GU = "Gu et al., 2024, arXiv:2410.10781"
RAZOR = "Tang et al., 2024, arXiv:2407.15891; Olsson et al., 2022, arXiv:2209.11895"


class RepeatProbe(Protocol):
    """What a run on a repeated random sequence says about every head, [L, H] each."""

    @property
    def echo(self) -> PerHead:
        """Mean attention to earlier copies of the same token."""

    @property
    def induction(self) -> PerHead:
        """Mean attention to the tokens that followed those copies."""


@dataclass(frozen=True)
class HeadEvidence:
    """All that is known about the heads of one model."""

    result: TraceResult
    other: TraceResult | None = None
    """A trace of another text."""
    probe: RepeatProbe | None = None
    length: int | None = None
    """Queries that a sink score is the mean of, tokens; None takes the whole text."""


@dataclass(frozen=True)
class HeadMeasure:
    """One number per head, its definition and its natural range."""

    title: str
    definition: str
    low: float
    high: float | None
    """None where it has no upper end."""
    compute: Callable[[HeadEvidence], PerHead | None]
    """Gives [L, H], or None where the evidence it needs was not gathered."""
    source: str = ""


def head_measures(evidence: HeadEvidence) -> dict[str, PerHead]:
    """Return [L, H] for every measure that the evidence allows, by its name in ``MEASURES``.

    Raises: ValueError if the other text or the probe is of a model with other layers or heads.
    """
    shape = evidence.result.sink_score.shape
    found = {}
    for name, measure in MEASURES.items():
        values = measure.compute(evidence)
        if values is None:
            continue
        if values.shape != shape:
            raise ValueError(
                f"{measure.title} is of {values.shape[0]} layers of {values.shape[1]} heads, this "
                f"run of {shape[0]} of {shape[1]}: take both from one model"
            )
        found[name] = values
    return found


def _first_token(evidence: HeadEvidence) -> PerHead:
    return known_mean(evidence.result.first_mass[:, :, 1:], -1)


def _other_sink(evidence: HeadEvidence) -> PerHead | None:
    return None if evidence.other is None else sink_scores(evidence.other, evidence.length)


def _relative(measured: PerHead, uniform: Callable[[int, int], PerHead], r: TraceResult) -> PerHead:
    chance = np.array([uniform(r.length, w).mean() for w in layer_windows(r)])[:, None]
    return np.where(chance > 0, measured.mean(-1) / np.where(chance > 0, chance, 1), np.nan)


def _distance(evidence: HeadEvidence) -> PerHead:
    return _relative(evidence.result.attention_distance, distance_noise, evidence.result)


def _entropy(evidence: HeadEvidence) -> PerHead:
    return _relative(evidence.result.attention_entropy_nats, entropy_noise, evidence.result)


def _lasting(evidence: HeadEvidence) -> PerHead:
    result = evidence.result
    return known_mean(result.persistence - result.persistence_chance, -1)


def _drain(evidence: HeadEvidence) -> PerHead:
    result = evidence.result
    mass = seen_mass(result)[:, :, : max(1, result.length - LATER_QUERIES)]
    # Layers may differ in heads; what a layer does not have is NaN.
    heads = np.isfinite(result.sink_score).sum(1, keepdims=True)
    kv_heads = np.isfinite(result.value_norm[..., 0]).sum(1, keepdims=True)
    groups = np.arange(result.heads) * kv_heads // np.maximum(heads, 1)
    groups = groups.clip(max=result.value_norm.shape[1] - 1)
    favourite = np.nan_to_num(mass, nan=-1.0).argmax(-1)
    layer = np.arange(result.layers)[:, None]
    median = np.median(result.value_norm, axis=-1)[layer, groups]
    norm = np.where(
        np.isfinite(result.sink_score), result.value_norm[layer, groups, favourite], np.nan
    )
    return np.where(median > 0, norm / np.where(median > 0, median, 1), np.nan)


MEASURES: dict[str, HeadMeasure] = {
    "sink": HeadMeasure(
        "sink score",
        "mean attention to the first token of all queries, or of the first where that is said",
        0,
        1,
        lambda e: sink_scores(e.result, e.length),
        GU,
    ),
    "other_sink": HeadMeasure(
        "sink score on the other text",
        "the same on another text; heads off the diagonal switch between active and dormant",
        0,
        1,
        _other_sink,
        "Guo et al., 2024, arXiv:2410.13835",
    ),
    "previous": HeadMeasure(
        "previous-token attention",
        "mean attention of a token to the token just before it",
        0,
        1,
        lambda e: e.result.previous_mass,
        "Elhage et al., 2021, transformer-circuits.pub",
    ),
    "first": HeadMeasure(
        "first-token attention",
        "mean attention to the first token of all queries but the first token itself",
        0,
        1,
        _first_token,
    ),
    "self": HeadMeasure(
        "attention to itself",
        "mean attention of a token to itself",
        0,
        1,
        lambda e: e.result.self_mass,
    ),
    "distance": HeadMeasure(
        "distance over uniform",
        "mean attention distance over that of uniform attention; near 0 is local, 1 as far as "
        "uniform",
        0,
        None,
        _distance,
    ),
    "entropy": HeadMeasure(
        "entropy over uniform",
        "mean attention entropy over that of uniform attention; 0 looks at one token, 1 at all "
        "alike",
        0,
        1,
        _entropy,
    ),
    "echo": HeadMeasure(
        "echo score",
        "random tokens repeated: mean attention to earlier copies of the same token",
        0,
        1,
        lambda e: None if e.probe is None else e.probe.echo,
        RAZOR,
    ),
    "induction": HeadMeasure(
        "induction score",
        "random tokens repeated: mean attention to the tokens that followed earlier copies",
        0,
        1,
        lambda e: None if e.probe is None else e.probe.induction,
        RAZOR,
    ),
    "persistence": HeadMeasure(
        "persistence above chance",
        "share of pivotal tokens that were pivotal in the run of queries before, less the share "
        "expected by chance",
        -1,
        1,
        _lasting,
        "Liu et al., 2023, arXiv:2305.17118",
    ),
    "drain": HeadMeasure(
        "value of its favourite token",
        "value norm of the token that receives most, over the median value norm; below 1 is "
        "drained (tokens with fewer than 16 later queries are left out)",
        0,
        None,
        _drain,
        "Guo et al., 2024, arXiv:2410.13835",
    ),
}
