"""What a decoding run will take: passes by the strategies, time by earlier runs."""

from dataclasses import dataclass

import numpy as np

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.decoding.premise import soft_premise
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult


@dataclass(frozen=True)
class LaneCost:
    """The most that one lane takes."""

    slug: str
    title: str
    passes: int
    token_steps: int
    small_passes: int = 0
    """Of the small model, where there is one."""
    premise: str = ""
    """Whether what the strategy builds on holds for this model; empty where nothing is asked."""


@dataclass(frozen=True)
class DecodeEstimate:
    """What Run will take; an end-of-text token stops earlier."""

    lanes: tuple[LaneCost, ...]
    runs: int = 0
    """Earlier runs of this model on this machine that the time comes from."""
    total_ms: float | None = None
    """At most, by the time of a pass in those runs; None where there are none."""


def estimate_run(request: DecodeRequest, evidence: Evidence) -> DecodeEstimate:
    """Return what to expect of a request, from its strategies and earlier runs of its model."""
    results = [run.result for run in evidence.measured(request)]
    return estimate(request, [found for found in results if isinstance(found, DecodeResult)])


def estimate(request: DecodeRequest, results: list[DecodeResult]) -> DecodeEstimate:
    """Return what to expect, from results of the same model on the same machine."""
    new = request.max_new_tokens
    lanes = tuple(
        LaneCost(
            one.slug,
            one.title,
            one.most_passes(new),
            one.most_token_steps(new),
            one.most_small_passes(new),
            soft_premise(results) if one.embeds else "",
        )
        for one in request.lanes
    )
    paces = []
    for result in results:
        passes, seconds = result.lane_columns["passes"], result.lane_columns["seconds"]
        if passes.sum():
            paces.append(1e3 * float(seconds.sum()) / int(passes.sum()))
    if not paces:
        return DecodeEstimate(lanes)
    total = float(np.median(paces)) * sum(lane.passes for lane in lanes)
    return DecodeEstimate(lanes, len(paces), total)
