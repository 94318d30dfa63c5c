"""How long a run under policies will take, estimated from runs that this machine has done."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult

if TYPE_CHECKING:
    from tokenarium.backend.cache.estimate import CacheEstimate


@dataclass(frozen=True)
class Measured:
    """A run of the same model on the same machine."""

    result: CacheResult
    duration_ms: float
    oracle: bool


@dataclass(frozen=True)
class Pace:
    """An estimate of time and what it rests on."""

    total_ms: float | None
    """None where a part was never measured here."""
    unknown: tuple[str, ...]
    """Titles of what was never measured here."""


def pace(request: CacheRequest, wanted: "CacheEstimate", runs: Iterable[Measured]) -> Pace:
    """Scale what earlier runs took: reading with the prompt's tokens, steps with their number.

    Args:
        request: of the run.
        wanted: what it does.
        runs: of the same model on this machine, newest first.
    """
    runs = list(runs)
    total, unknown = 0.0, []
    for cost in wanted.policies:
        took = next(
            (ms for run in runs if (ms := _policy_ms(cost.slug, wanted, run)) is not None), None
        )
        if took is None:
            unknown.append(cost.title)
        total += took or 0.0
    if request.oracle:
        beside = next((ms for run in runs if (ms := _beside_ms(wanted, run)) is not None), None)
        if beside is None:
            unknown.append("the full model alongside")
        total += beside or 0.0
    return Pace(None if unknown else total, tuple(unknown))


def _policy_ms(slug: str, wanted: "CacheEstimate", run: Measured) -> float | None:
    """Return the milliseconds of a policy's own passes; None where the run does not say."""
    result = run.result
    if slug not in result.policies:
        return None
    number = result.policies.index(slug)
    steps = result.step_ms[number]
    if not np.isfinite(steps).any():
        return None
    reading = float(result.prefill_ms[number]) * wanted.prompt_tokens / len(result.prompt_ids)
    return reading + float(np.nanmedian(steps)) * (wanted.new_tokens - 1)


def _beside_ms(wanted: "CacheEstimate", run: Measured) -> float | None:
    """Return the milliseconds beside the policies' own passes: the full model, and writing down."""
    if not run.oracle:
        return None
    result = run.result
    own = float(np.nansum(result.prefill_ms) + np.nansum(result.step_ms))
    read = len(result.prompt_ids) + int((result.token_ids >= 0).sum())
    asked = wanted.prompt_tokens + len(wanted.policies) * wanted.new_tokens
    return max(0.0, run.duration_ms - own) * asked / read
