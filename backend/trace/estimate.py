"""What a trace will take, known before it starts and without a weight."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import torch

from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.free_memory import free_bytes
from tokenarium.backend.cost.sketch import Sketch
from tokenarium.backend.cost.work import STREAM_BYTES, Choices, Sizes, of_result, on_device
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult

_MOST_RUNS = 4
"""Earlier runs that are looked at: each is opened for it."""


@dataclass(frozen=True)
class TraceEstimate:
    """What a run will take."""

    words: int
    """Pieces of the text between blanks, cut or not."""
    tokens: int
    """T, with BOS and chat template, after what is over the limit is cut."""
    passes: int
    """Forward passes over all tokens: a second one where the logit lens needs it."""
    peak_bytes: int
    """Upper estimate of what the run takes beside the model's weights, where it computes."""
    free_bytes: int | None
    """What is free for it now; None where that is unknown."""
    total_ms: float | None = None
    """Milliseconds a token of the fastest earlier run, times T; None without one."""


def estimate_run(request: TraceRequest, evidence: Evidence) -> TraceEstimate:
    """Return tokens, passes, bytes and time of a run, the time from runs of this machine."""
    sketch = evidence.sketch(request)
    limit = evidence.limit_of(request, sketch)
    found = estimate(request, sketch, limit, torch.device(evidence.device))
    runs = (
        (run.result.length, run.duration_ms)
        for run in islice(evidence.measured(request), _MOST_RUNS)
        if isinstance(run.result, TraceResult)
    )
    return replace(found, total_ms=total_ms(found.tokens, runs))


def estimate(
    request: TraceRequest, sketch: Sketch, limit: int, device: torch.device
) -> TraceEstimate:
    """Return what a run will take, but for the time.

    Args:
        request: of the run.
        sketch: of its model.
        limit: most tokens that are read.
        device: where it will run.
    Raises: ValueError where the text is over the limit and not to be cut, as the run would.
    """
    tokens = sketch.count_within(request, limit)
    sizes, dtype = Sizes.of(sketch.config), getattr(torch, request.dtype)
    choices = Choices(request.tiles, request.top_k, len(request.forgetting), request.logit_lens)
    work = on_device(sizes, dtype, choices, device)
    if device.type == "cpu":
        work += of_result(sizes, choices)
    streams = tokens * sizes.hidden * dtype.itemsize * (sizes.layers + 1)
    return TraceEstimate(
        words=len(request.given_text.split()),
        tokens=tokens,
        passes=1 + (request.logit_lens and streams > STREAM_BYTES),
        peak_bytes=work.total(tokens),
        free_bytes=free_bytes(device),
    )


def total_ms(tokens: int, runs: Iterable[tuple[int, float]]) -> float | None:
    """Return how long ``tokens`` tokens will take.

    Args:
        tokens: to read.
        runs: tokens and milliseconds of earlier runs. The fastest says the pace: others may have
            prepared kernels, or shared the machine.
    """
    paces = [ms / length for length, ms in runs if length > 0]
    return min(paces) * tokens if paces else None
