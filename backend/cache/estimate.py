"""What a run under policies will take, known before it starts and without a weight."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from tokenarium.backend.cache.acting import where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.full_model import TOGETHER
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.prompt_parts import lengths_of_parts, refuse_parts
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.free_memory import free_bytes
from tokenarium.backend.cost.memory import bytes_by_step, is_shared_out
from tokenarium.backend.cost.run_memory import CacheRunPlan, bytes_of_cache_run
from tokenarium.backend.cost.sketch import Sketch
from tokenarium.backend.cost.time import Measured, pace
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.windows import windows_of


@dataclass(frozen=True)
class PolicyCost:
    """What one policy's cache will hold."""

    slug: str
    title: str
    label: str
    prompt_bytes: int
    """Bytes right after the prompt."""
    end_bytes: int
    """Bytes after the last step."""
    exact: bool
    """Whether a run reports exactly these, unless an end-of-text token stops it earlier."""
    acts: str = ""
    """In how many layers it acts and why not in the others; empty where in all."""


@dataclass(frozen=True)
class CacheEstimate:
    """What a run will take; S new tokens under P policies."""

    prompt_tokens: int
    new_tokens: int
    """S; an end-of-text token stops earlier."""
    budget_tokens: int
    """Entries per KV head."""
    prefill_passes: int
    """Readings of the prompt: one per policy and part, and one of the full model alongside; on a
    CPU those that read it alike share one forward pass."""
    prompt_parts: int = field(default=1, kw_only=True)
    """Parts in which each policy reads the prompt."""
    decode_passes: int
    """Forward passes of one token, all policies together."""
    full_passes: int
    """Forward passes of the full model after the prompt, several tokens at once in float32."""
    policies: tuple[PolicyCost, ...]
    full_bytes: int
    """Bytes of a cache that drops nothing, after the last step."""
    peak_bytes: int
    """Upper estimate of what the run takes beside the model's weights."""
    free_bytes: int | None
    """What is free for it now; None where that is unknown."""
    total_ms: float | None = None
    """Estimated from runs of this model on this machine; None where a part was never measured."""
    unknown: tuple[str, ...] = ()
    """Titles of what was never measured here."""


def estimate_run(request: CacheRequest, evidence: Evidence) -> CacheEstimate:
    """Return tokens, passes, bytes and time of a run, the time from runs of this machine."""
    sketch = evidence.sketch(request)
    limit = evidence.limit_of(request, sketch)
    found = estimate(request, sketch, limit, torch.device(evidence.device))
    runs = [
        Measured(run.result, run.duration_ms, run.request.oracle)
        for run in evidence.measured(request)
        if isinstance(run.result, CacheResult) and isinstance(run.request, CacheRequest)
    ]
    measured = pace(request, found, runs)
    return replace(found, total_ms=measured.total_ms, unknown=measured.unknown)


def estimate(
    request: CacheRequest, sketch: Sketch, limit: int, device: torch.device
) -> CacheEstimate:
    """Return what a run will take.

    Args:
        request: of the run.
        sketch: of its model.
        limit: most tokens of the prompt.
        device: where it will run.
    Raises: ValueError where the budget or a policy does not fit the model, as the run would.
    """
    config, dtype = sketch.config, getattr(torch, request.dtype)
    context, windows = context_of(config), windows_of(config)
    prompt = sketch.count_within(request, limit)
    steps = request.max_new_tokens
    if request.continuation:
        steps = sketch.count_plain(request.continuation)
    sizes = CacheSizes.read(config, dtype, sum(window is not None for window in windows))
    budget = tokens_per_head(request.budget, request.budget_unit, prompt, sizes)
    costs = []
    parts = len(lengths_of_parts(prompt, request.prompt_chunk))
    for spec in request.policies:
        policy = spec.policy.fitted(budget, len(windows), context)
        policy.refuse_below_smallest(budget)
        refuse_parts(policy, prompt, request.prompt_chunk)
        nbytes = bytes_by_step(policy, budget, prompt, steps, windows, sizes, request.prompt_chunk)
        acting = policy.acting_layers(budget, windows, prompt) if policy.label == "evict" else ()
        costs.append(
            PolicyCost(
                policy.recipe_slug,
                policy.recipe_title,
                policy.recipe_label,
                int(nbytes[0]),
                int(nbytes[-1]),
                exact=(not policy.ragged or (parts == 1 and is_shared_out(policy, windows, sizes)))
                and not (policy.forms and policy.when == "step")
                and not any(windows[layer] for layer in acting),
                acts=where_it_acts(policy, budget, windows, prompt),
            )
        )
    plan = CacheRunPlan(request, config, dtype, device, prompt, steps, budget)
    together = TOGETHER if dtype == torch.float32 else 1
    return CacheEstimate(
        prompt_tokens=prompt,
        new_tokens=steps,
        budget_tokens=budget,
        prefill_passes=parts * len(costs) + request.oracle,
        prompt_parts=parts,
        decode_passes=len(costs) * (steps - 1),
        full_passes=len(costs) * -(-(steps - 1) // together) if request.oracle else 0,
        policies=tuple(costs),
        full_bytes=full_bytes(prompt, steps, windows, sizes, request.prompt_chunk),
        peak_bytes=bytes_of_cache_run(plan),
        free_bytes=free_bytes(device),
    )


def full_bytes(
    prompt: int,
    steps: int,
    windows: Sequence[int | None],
    sizes: CacheSizes,
    prompt_chunk: int | None = None,
) -> int:
    """Return the bytes of a cache that drops nothing, after the last step."""
    return int(bytes_by_step(Full(), 1, prompt, steps, windows, sizes, prompt_chunk)[-1])
