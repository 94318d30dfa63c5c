"""Compute a region: the layers up to the wanted one, then one head's rectangle in fine tiles."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from backend.events import CancelToken, Event, Progress
from backend.instruments import AttentionCall, Recorder, recording
from backend.models.loaded import LoadedModel
from backend.models.text import tokenise
from backend.region.request import RegionRequest
from backend.region.result import RegionResult
from kernels.attention_stats import AttentionStats, Axis, Grid, Want, attention_stats


class _Reached(Exception):  # noqa: N818 - a way out, not an error
    """The wanted layer is measured; the layers after it need not run."""


class _RegionRecorder(Recorder):
    def __init__(
        self,
        request: RegionRequest,
        grid: Grid,
        layers: int,
        emit: Callable[[Event], None],
        cancel: CancelToken,
    ) -> None:
        super().__init__()
        self._request, self._grid, self._layers = request, grid, layers
        self._emit, self._cancel = emit, cancel
        self.stats: AttentionStats | None = None

    def attend(self, call: AttentionCall) -> Tensor:
        self._cancel.check()
        self._emit(Progress("reading layers", call.layer, self._request.layer + 1))
        if call.layer != self._request.layer:
            return super().attend(call)
        heads = call.q.shape[1]
        _check("head", self._request.head, heads)
        head = slice(self._request.head, self._request.head + 1)
        group = self._request.head * call.k.shape[1] // heads
        rows = slice(self._grid.queries.start, self._grid.queries.stop)
        _, self.stats = attention_stats(
            call.q[0, head, rows],
            call.k[0, group : group + 1],
            call.v[0, group : group + 1],
            scaling=call.scaling,
            want=Want(tiles=self._grid),
            offset=call.offset + rows.start,
            window=call.window,
            softcap=call.softcap,
            sinks=None if call.sinks is None else call.sinks[head],
            mask=None if call.mask is None else _mask_of(call.mask[0], head, rows),
        )
        raise _Reached


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
    tokens = tokenise(loaded, request, limit)
    length = len(tokens.ids)
    _check("layer", request.layer, len(loaded.layers))
    for name in ("query_stop", "key_stop"):
        if getattr(request, name) > length:
            raise ValueError(
                f"{name}={getattr(request, name)} is above the text's {length} tokens: choose at "
                f"most {length}"
            )
    grid = Grid(
        _axis(request.query_start, request.query_stop, request.tiles),
        _axis(request.key_start, request.key_stop, request.tiles),
    )
    recorder = _RegionRecorder(request, grid, len(loaded.layers), emit, cancel)
    ids = torch.tensor([tokens.ids], device=loaded.device)
    with torch.inference_mode(), recording(recorder), suppress(_Reached):
        loaded.model.base_model(input_ids=ids, use_cache=False)
    assert recorder.stats is not None
    assert recorder.stats.tiles_mean is not None
    assert recorder.stats.tiles_max is not None
    return RegionResult(
        mean=recorder.stats.tiles_mean[0].cpu().numpy(),
        highest=recorder.stats.tiles_max[0].cpu().numpy(),
        query_edges=np.asarray(grid.queries.edges, np.int32),
        key_edges=np.asarray(grid.keys.edges, np.int32),
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
