"""What a decoding run will take: passes by the strategies, time by earlier runs, and memory."""

from dataclasses import dataclass, replace

import numpy as np

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.decoding.premise import known_before
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.errors import UserError


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
    """What an earlier run found of the strategy's premise; empty where nothing is asked."""
    premise_passes: int = 0
    """The most that measuring it takes."""
    rereads: int = 0
    """Passes that read the prompt anew; its tokens are in ``token_steps`` where they are known."""


@dataclass(frozen=True)
class SmallCost:
    """What the small model of two takes."""

    title: str
    """Its name, or which layers of the model stand for it."""
    weights_bytes: int
    """0 where it is the model itself, or layers of it."""
    work_bytes: int
    """Upper estimate of what it takes beside its weights: its cache, its states and logits."""


@dataclass(frozen=True)
class DecodeEstimate:
    """What Run will take; an end-of-text token stops earlier."""

    lanes: tuple[LaneCost, ...]
    runs: int = 0
    """Earlier runs of this model on this machine that the time comes from."""
    total_ms: float | None = None
    """At most, by the time of a pass in those runs; None where there are none."""
    peak_bytes: int | None = None
    """Upper estimate of what the run takes beside the model's weights, small models included;
    None where a model is not on this machine."""
    free_bytes: int | None = None
    """What is free for it now; None where that is unknown."""
    small: tuple[SmallCost, ...] = ()
    """Of every small model that strategies read with."""


def estimate_run(request: DecodeRequest, evidence: Evidence) -> DecodeEstimate:
    """Return what to expect of a request, from its strategies and earlier runs of its model."""
    results = [run.result for run in evidence.measured(request)]
    found = estimate(request, [one for one in results if isinstance(one, DecodeResult)])
    try:
        prompt = prompt_tokens(request, evidence)
        found = _with_prompt(found, request, prompt)
        return _with_memory(found, request, evidence, prompt)
    except UserError:
        return found


def estimate(request: DecodeRequest, results: list[DecodeResult]) -> DecodeEstimate:
    """Return what to expect, from results of the same model on the same machine."""
    new, drafter = request.max_new_tokens, request.drafter
    reads = drafter is not None and drafter.drafter.source != "text"
    guesses = new * request.draft_len if reads else 0
    tree = 0 if drafter is None else new * request.tree_budget
    lanes = tuple(
        LaneCost(
            one.slug,
            one.title,
            request.trials_of(one) * one.most_passes(new),
            request.trials_of(one) * (one.most_token_steps(new) + (number > 0) * tree),
            request.trials_of(one) * (one.most_small_passes(new) + (number > 0) * guesses),
            known_before(results, one.slug) if one.builds_on and number else "",
            one.most_premise_passes(new) if number else 0,
            rereads=request.trials_of(one) * one.most_rereads(new),
        )
        for number, one in enumerate(request.lanes)
    )
    paces = []
    for result in results:
        passes, seconds = result.lane_columns["passes"], result.lane_columns["seconds"]
        if passes.sum():
            paces.append(1e3 * float(seconds.sum()) / int(passes.sum()))
    if not paces:
        return DecodeEstimate(lanes)
    total = float(np.median(paces)) * sum(lane.passes + lane.premise_passes for lane in lanes)
    return DecodeEstimate(lanes, len(paces), total)


def prompt_tokens(request: DecodeRequest, evidence: Evidence) -> int:
    """Return how long the prompt is; an error in words where its model is not on this machine."""
    if request.prompt_ids:
        return len(request.prompt_ids)
    sketch = evidence.sketch(request)
    return sketch.count_within(request, evidence.limit_of(request, sketch))


def _with_prompt(found: DecodeEstimate, request: DecodeRequest, prompt: int) -> DecodeEstimate:
    """Return an estimate in which passes that read the prompt anew have its tokens."""
    length = prompt + len(request.begin)
    return replace(
        found,
        lanes=tuple(
            replace(lane, token_steps=lane.token_steps + lane.rereads * length)
            for lane in found.lanes
        ),
    )


def _with_memory(
    found: DecodeEstimate, request: DecodeRequest, evidence: Evidence, prompt: int
) -> DecodeEstimate:
    """Return an estimate with the memory that the run takes, small models' by themselves."""
    import torch

    from tokenarium.backend.cost.free_memory import free_bytes
    from tokenarium.backend.decoding.memory import Place, bytes_of_decoding, bytes_of_small

    device, dtype = torch.device(evidence.device), getattr(torch, request.dtype)
    named = {name: request.model_copy(update={"model": name}) for name in request.beside}
    sketch = evidence.sketch(request)
    own = Place(sketch.config, dtype, device)
    places = {
        name: Place(evidence.sketch(other).config, dtype, device) for name, other in named.items()
    }
    weights = {
        name: evidence.weights_bytes(other)
        for name, other in named.items()
        if name != request.model
    }
    small = {
        one: SmallCost(
            _title(one.name, one.layers(own.sizes.layers)),
            weights.get(one.name, 0),
            bytes_of_small(one, places.get(one.name, own), prompt + request.max_new_tokens),
        )
        for one in request.small_models
    }
    peak = bytes_of_decoding(request, own, prompt, places) + sum(weights.values())
    return replace(found, peak_bytes=peak, free_bytes=free_bytes(device), small=(*small.values(),))


def _title(name: str, layers: int | None) -> str:
    if name:
        return name
    return "after another prompt" if layers is None else f"its first {layers} layers"
