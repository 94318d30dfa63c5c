"""The pass over the keys: which sums it makes, over which keys and queries."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Axis, Want
from tokenarium.kernels.attention_stats.triton.blocks import power_of_two, sums_blocks
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.attention_stats.triton.pooling import Shares
from tokenarium.kernels.attention_stats.triton.sums import sums
from tokenarium.kernels.launch import Launch


@dataclass(frozen=True)
class Sums:
    """What sums over queries come to, as in ``AttentionStats``."""

    received: Tensor | None = None
    decayed: Tensor | None = None
    last: Tensor | None = None
    segments: Tensor | None = None
    tiles_mean: Tensor | None = None
    tiles_max: Tensor | None = None


@dataclass(frozen=True)
class Adding:
    """The launch and what it writes: [H, n, S] sums and each block's shares of the tiles."""

    launch: Launch
    weighted: Tensor | None
    runs: Tensor | None
    shares: Shares | None
    tile_sums: Tensor | None
    tile_peaks: Tensor | None

    def sums(self, want: Want) -> Sums:
        """Return what was wanted, after the launch has run."""
        received = decayed = last = mean = highest = None
        if self.weighted is not None:
            counts = [int(want.received), len(want.decay), int(want.last > 0)]
            received, decayed, last = self.weighted.split(counts, dim=1)
        if self.shares is not None:
            assert self.tile_sums is not None
            assert self.tile_peaks is not None
            mean, highest = self.shares.pool(self.tile_sums, self.tile_peaks)
        return Sums(
            received=None if received is None or not want.received else received[:, 0],
            decayed=decayed if want.decay else None,
            last=None if last is None or not want.last else last[:, 0],
            segments=self.runs,
            tiles_mean=mean,
            tiles_max=highest,
        )


def sums_launch(layer: Layer, want: Want, log_sum: Tensor) -> Adding | None:
    """Prepare the pass over the keys and room for its sums; None where none is wanted."""
    spans = _spans(layer, want)
    if spans is None:
        return None
    (first, stop), (rows_from, rows_to) = spans
    blocks = sums_blocks(layer.q.dtype, layer.padded)
    count = triton.cdiv(stop - first, blocks.keys)
    factors = _factors(want.received, want.decay, want.last, layer.queries, layer.q.device)
    weighted = layer.empty(len(factors), layer.keys) if len(factors) else None
    runs = layer.zeros(want.segments, layer.keys) if want.segments else None
    shares = tile_sums = tile_peaks = None
    rows = columns = Axis(0, 1, 1)
    if want.tiles is not None:
        rows, columns = want.tiles.queries, want.tiles.keys
        there = layer.first, layer.first + layer.queries
        shares = Shares(want.tiles, first, blocks.keys, count, there)
        shape = (rows.tiles, count, shares.tiles_a_block)
        tile_sums, tile_peaks = layer.zeros(*shape), layer.zeros(*shape)
    arguments = layer.arguments() | {
        "log_sum": log_sum,
        "factors": factors,
        "weighted": weighted,
        "runs": runs,
        "tile_sums": tile_sums,
        "tile_peaks": tile_peaks,
        "segments": want.segments,
        "first_key": first,
        "rows_from": rows_from,
        "rows_to": rows_to,
        "row_start": rows.start - layer.first,
        "row_stop": rows.stop - layer.first,
        "row_tiles": rows.tiles,
        "column_start": columns.start,
        "column_stop": columns.stop,
        "column_tiles": columns.tiles,
        "factor_count": len(factors),
        "padded_factors": power_of_two(max(1, len(factors))),
        "tiles_a_block": shares.tiles_a_block if shares else 1,
        "block_queries": blocks.queries,
        "block_keys": blocks.keys,
    }
    launch = Launch(sums, (count, layer.heads), arguments, blocks.options)
    return Adding(launch, weighted, runs, shares, tile_sums, tile_peaks)


def _spans(layer: Layer, want: Want) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the keys and the queries that the wanted sums run over; None without any."""
    rows = []
    if want.received or want.decay or want.segments:
        rows.append((0, layer.queries))
    if want.last:
        rows.append((max(0, layer.queries - want.last), layer.queries))
    keys = (0, layer.keys)
    if want.tiles is not None:
        axis = want.tiles.queries
        low, high = max(0, axis.start - layer.first), min(layer.queries, axis.stop - layer.first)
        if not rows:
            keys = want.tiles.keys.start, min(layer.keys, want.tiles.keys.stop)
        rows.append((low, max(low, high)))
    if not rows:
        return None
    return keys, (min(low for low, _ in rows), max(high for _, high in rows))


@lru_cache(maxsize=8)
def _factors(
    received: bool, decay: tuple[float, ...], last: int, queries: int, device: torch.device
) -> Tensor:
    """Return [n, T]: what each query's weights count in each weighted sum."""
    query = torch.arange(queries, device=device)
    rows = [torch.ones(queries, device=device)] if received else []
    rows += [factor ** (queries - 1 - query).float() for factor in decay]
    if last:
        rows.append((query >= queries - last).float())
    return torch.stack(rows) if rows else torch.zeros(0, queries, device=device)
