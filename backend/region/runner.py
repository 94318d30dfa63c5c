"""Compute a region: the layers up to the wanted one, then one head's rectangle in fine tiles."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tokenarium.backend.models.choice import refuse_above
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.observe import AttentionCall
from tokenarium.backend.region.layer import attention_of
from tokenarium.backend.region.request import RegionRequest
from tokenarium.backend.region.result import RegionResult
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.kernels.attention_stats import AttentionStats, Axis, Grid, Want, attention_stats


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
        Cancelled: if the run is cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    refuse_above("layer", request.layer, len(loaded.layers))
    _check_ranges(request, len(tokens.ids))
    call, source = attention_of(loaded, tokens.ids, request.layer, ProgressReporter(emit, cancel))
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


def _measure(call: AttentionCall, head: int, grid: Grid) -> AttentionStats:
    heads = call.q.shape[1]
    refuse_above("head", head, heads)
    rows = slice(grid.queries.start, grid.queries.stop)
    inputs = call.of_head(head, rows).inputs()
    # The output is not wanted, so any values do.
    _, stats = attention_stats(replace(inputs, v=inputs.k[..., :1]), Want(tiles=grid))
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
