"""Run a heartbeat: one head's weights, some queries at a time, against a threshold."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.heartbeat.pulse import Pulse, causal_pairs
from tokenarium.backend.heartbeat.request import HeartbeatRequest
from tokenarium.backend.heartbeat.result import HeartbeatResult
from tokenarium.backend.models.choice import refuse_above
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.observe import AttentionCall
from tokenarium.backend.region.layer import attention_of
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.kernels.attention_stats import Axis, attention_rows

BLOCK = 128
"""Queries whose weights are held at once, of one head."""


@torch.inference_mode()
def heartbeat(
    request: HeartbeatRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> HeartbeatResult:
    """Find when queries look at each key through one head.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress.
        cancel: checked in every layer and for every block of queries.
    Raises: ValueError if the model has no such layer or head; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    length = len(tokens.ids)
    progress = ProgressReporter(emit, cancel)
    call, source = attention_of(loaded, tokens.ids, request.layer, progress)
    refuse_above("head", request.head, call.q.shape[1])
    axis = Axis(0, length, min(length, request.bins))
    pulse = Pulse(axis, call.q.device)
    for start, weights in _weights(call, request.head):
        progress.report("following tokens", start, length)
        pulse.add(start, weights >= _least(request, call, start, weights))
    pairs = causal_pairs(axis.edges)
    cells = pulse.cells.cpu().numpy()
    last, gap = _integers(pulse.last), _integers(pulse.gap)
    return HeartbeatResult(
        token_text=tokens.text,
        text=tokens.source,
        **tokens.turns(),
        raster=np.where(pairs > 0, cells / np.maximum(pairs, 1), np.nan).astype(np.float32),
        edges=np.asarray(axis.edges, np.int32),
        activations=_integers(pulse.count),
        last_activation=last,
        longest_gap=gap,
        next_expected=np.where(gap > 0, last + gap, -1).astype(np.int32),
        active_share=float(pulse.count.sum()) / (length * (length + 1) / 2),
        source=source,
        dropped_tokens=tokens.dropped,
        notes=tokens.notes,
    )


def _weights(call: AttentionCall, head: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the position of the first query and the weights of each block on the keys up to it."""
    for rows in attention_rows(call.of_head(head).inputs(), BLOCK):
        yield rows.start, rows.weights[0, :, : call.offset + rows.stop]


def _least(request: HeartbeatRequest, call: AttentionCall, start: int, weights: Tensor) -> Tensor:
    """Return [rows, 1] the weight from which each query activates a key."""
    if request.measured_in == "weight":
        return weights.new_full((len(weights), 1), request.threshold)
    seen = torch.arange(start + 1, start + 1 + len(weights), device=weights.device)
    if call.window is not None:
        seen = seen.clamp(max=call.window)
    # An exactly even row is active at threshold 1 whatever its rounding.
    return (request.threshold * (1 - 1e-6) / seen)[:, None]


def _integers(values: Tensor) -> NDArray[np.int32]:
    found: NDArray[np.int32] = values.cpu().numpy().astype(np.int32)
    return found
