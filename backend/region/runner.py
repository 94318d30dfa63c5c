"""Compute a region: the layers up to the wanted one, then one head's rectangle in fine tiles."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from backend.events import CancelToken, Event, Progress
from backend.instruments import AttentionCall, Recorder, recording
from backend.instruments.kept import KEPT, Reading
from backend.models.loaded import LoadedModel
from backend.models.text import tokenise
from backend.region.request import RegionRequest
from backend.region.result import RegionResult
from kernels.attention_stats import AttentionStats, Axis, Grid, Want, attention_stats

KEPT_SOURCE = "kept queries and keys"
READ_SOURCE = "the model read the text again"


class _Reached(Exception):  # noqa: N818 - a way out, not an error
    """The wanted layer is measured; the layers after it need not run."""


class _RegionRecorder(Recorder):
    """Reads on to the wanted layer, and keeps the queries and keys it passes."""

    def __init__(
        self,
        layer: int,
        reading: Reading | None,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> None:
        super().__init__()
        self._layer, self._reading = layer, reading
        self._emit, self._cancel = emit, cancel
        self.wanted: AttentionCall | None = None

    def attend(self, call: AttentionCall) -> Tensor:
        self._cancel.check()
        self._emit(Progress("reading layers", call.layer, self._layer + 1))
        KEPT.put(self._reading, call)
        if call.layer != self._layer:
            return super().attend(call)
        self.wanted = call
        raise _Reached


@torch.inference_mode()
def region(
    request: RegionRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> RegionResult:
    """Pool one head's attention over the request's rectangle.

    Raises:
        ValueError: if layer, head or range lie outside the model or the text.
        Cancelled: if told to stop.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    _check("layer", request.layer, len(loaded.layers))
    _check_ranges(request, len(tokens.ids))
    reading = Reading.of(loaded, tokens.ids)
    call = KEPT.get(reading, request.layer)
    source = KEPT_SOURCE
    if call is None:
        source = READ_SOURCE
        recorder = _RegionRecorder(request.layer, reading, emit, cancel)
        call = _read(loaded, tokens.ids, recorder)
    grid = Grid(
        _axis(request.query_start, request.query_stop, request.tiles),
        _axis(request.key_start, request.key_stop, request.tiles),
    )
    stats = _measure(call, request.head, grid)
    assert stats.tiles_mean is not None
    assert stats.tiles_max is not None
    return RegionResult(
        mean=stats.tiles_mean[0].cpu().numpy(),
        highest=stats.tiles_max[0].cpu().numpy(),
        query_edges=np.asarray(grid.queries.edges, np.int32),
        key_edges=np.asarray(grid.keys.edges, np.int32),
        source=source,
    )


def _read(loaded: LoadedModel, ids: list[int], recorder: _RegionRecorder) -> AttentionCall:
    """Run the layers up to the wanted one; return what its attention was about to compute."""
    with recording(recorder), suppress(_Reached):
        loaded.model.base_model(
            input_ids=torch.tensor([ids], device=loaded.device), use_cache=False
        )
    assert recorder.wanted is not None
    return recorder.wanted


def _measure(call: AttentionCall, head: int, grid: Grid) -> AttentionStats:
    heads = call.q.shape[1]
    _check("head", head, heads)
    only = slice(head, head + 1)
    group = head * call.k.shape[1] // heads
    rows = slice(grid.queries.start, grid.queries.stop)
    _, stats = attention_stats(
        call.q[0, only, rows],
        call.k[0, group : group + 1],
        call.k[0, group : group + 1, :, :1],  # the output is not wanted, so any values do
        scaling=call.scaling,
        want=Want(tiles=grid),
        offset=call.offset + rows.start,
        window=call.window,
        softcap=call.softcap,
        sinks=None if call.sinks is None else call.sinks[only],
        mask=None if call.mask is None else _mask_of(call.mask[0], only, rows),
    )
    return stats


def _check_ranges(request: RegionRequest, length: int) -> None:
    for name in ("query_stop", "key_stop"):
        if getattr(request, name) > length:
            raise ValueError(
                f"{name}={getattr(request, name)} is above the text's {length} tokens: choose at "
                f"most {length}"
            )


def _axis(start: int, stop: int, most: int) -> Axis:
    return Axis(start, stop, min(most, stop - start))


def _mask_of(mask: Tensor, head: slice, rows: slice) -> Tensor:
    return mask[head if mask.shape[0] > 1 else slice(0, 1), rows]


def _check(name: str, value: int, count: int) -> None:
    if value >= count:
        raise ValueError(
            f"{name}={value} is not below the model's {count}: choose 0 to {count - 1}"
        )
