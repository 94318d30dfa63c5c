"""The pass over the keys: which sums it makes, over which keys and queries."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
from torch import Tensor
from torch.nn.functional import pad

from tokenarium.kernels.attention_stats.declaration import Axis, Want
from tokenarium.kernels.attention_stats.triton.blocks import Blocks, power_of_two, sums_blocks
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.attention_stats.triton.pooling import Shares, pool_launch
from tokenarium.kernels.attention_stats.triton.sums import sums
from tokenarium.kernels.attention_stats.triton.walk import Course, Walk, walk
from tokenarium.kernels.launch import Launch


@dataclass(frozen=True)
class Sums:
    """The launches, one after the other, and what they write, as in ``AttentionStats``."""

    launches: tuple[Launch, ...] = ()
    received: Tensor | None = None
    decayed: Tensor | None = None
    last: Tensor | None = None
    segments: Tensor | None = None
    tiles_mean: Tensor | None = None
    tiles_max: Tensor | None = None


NOTHING = Sums()


@dataclass(frozen=True)
class Plan:
    """All that a pass over the keys is given which does not differ between a model's layers."""

    blocks: Blocks
    course: Course
    walk: Walk
    factors: Tensor
    shares: Shares | None


def sums_launch(layer: Layer, want: Want, log_sum: Tensor) -> Sums | None:
    """Prepare the pass over the keys and room for its sums; None where none is wanted."""
    geometry = Geometry(layer.queries, layer.keys, layer.first, layer.window)
    plain = layer.mask is None and layer.softcap is None and layer.window is None
    plan = _plan(want, geometry, layer.q.dtype, layer.padded, plain, layer.target, layer.q.device)
    if plan is None:
        return None
    course, blocks, shares = plan.course, plan.blocks, plan.shares
    keys = layer.keys
    received = layer.empty(keys) if want.received else None
    decayed = layer.empty(len(want.decay), keys) if want.decay else None
    last = layer.empty(keys) if want.last else None
    runs = layer.zeros(want.segments, keys) if want.segments else None
    tiles = None
    columns = Axis(0, 1, 1)
    if shares is not None:
        columns = shares.grid.keys
        tiles = layer.zeros_of_two(shares.grid.queries.tiles, course.count, shares.tiles_a_block)
    if not plan.walk.plain:
        log_sum = pad(log_sum, (0, 1), value=float("inf")).index_select(1, plan.walk.order)
    split = layer.q.dtype != torch.float32
    arguments = layer.arguments() | {
        "log_sum": log_sum,
        "ordered": log_sum.shape[1],
        "pieces": plan.walk.pieces,
        "spans": plan.walk.spans,
        "factors": plan.factors,
        "received": received,
        "decayed": decayed,
        "last": last,
        "runs": runs,
        "tile_sums": None if tiles is None else tiles[0],
        "tile_peaks": None if tiles is None else tiles[1],
        "segments": want.segments,
        "last_from": course.last_from,
        "first_key": course.first_key,
        "row_tiles": 1 if shares is None else shares.grid.queries.tiles,
        "column_start": columns.start,
        "column_stop": columns.stop,
        "column_tiles": columns.tiles,
        "factor_count": len(want.decay),
        "padded_factors": plan.factors.shape[1],
        "split": split,
        "tiles_a_block": shares.tiles_a_block if shares else 1,
        "block_queries": blocks.queries,
        "block_keys": blocks.keys,
    }
    launches = [Launch(sums, (course.count, layer.heads), arguments, blocks.options)]
    mean = highest = None
    if shares is not None and tiles is not None:
        pooling = pool_launch(layer, shares, *tiles)
        launches.append(pooling.launch)
        mean, highest = pooling.mean, pooling.highest
    return Sums(tuple(launches), received, decayed, last, runs, mean, highest)


@dataclass(frozen=True)
class Geometry:
    """How many queries and keys, where query 0 stands, and the most keys that a query sees."""

    queries: int
    keys: int
    first: int
    window: int | None

    def spans(self, want: Want) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Return the keys and the queries that the wanted sums run over; None without any."""
        rows = []
        if want.received or want.decay or want.segments:
            rows.append((0, self.queries))
        if want.last:
            rows.append((max(0, self.queries - want.last), self.queries))
        keys = (0, self.keys)
        if want.tiles is not None:
            axis = want.tiles.queries
            low, high = max(0, axis.start - self.first), min(self.queries, axis.stop - self.first)
            if not rows:
                keys = want.tiles.keys.start, min(self.keys, want.tiles.keys.stop)
            rows.append((low, max(low, high)))
        if not rows:
            return None
        return keys, (min(low for low, _ in rows), max(high for _, high in rows))


@lru_cache(maxsize=64)
def _plan(
    want: Want,
    geometry: Geometry,
    dtype: torch.dtype,
    padded: int,
    plain: bool,
    target: int,
    device: torch.device,
) -> Plan | None:
    spans = geometry.spans(want)
    if spans is None:
        return None
    (first_key, stop), rows = spans
    grid, first = want.tiles, geometry.first
    tiles = None
    if grid is not None:
        own = grid.queries
        tiles = Axis(own.start - first, own.stop - first, own.tiles)
    block_keys = sums_blocks(dtype, padded, False, plain, target).keys
    course = Course(
        rows=rows,
        queries=geometry.queries,
        segments=want.segments,
        last_from=geometry.queries - want.last,
        tiles=tiles,
        offset=first,
        window=geometry.window,
        first_key=first_key,
        block_keys=block_keys,
        count=triton.cdiv(stop - first_key, block_keys),
    )
    blocks = sums_blocks(dtype, padded, course.short(), plain, target)
    path = walk(course, blocks.queries, device)
    shares = None
    if grid is not None:
        there = first, first + geometry.queries
        shares = Shares(grid, first_key, block_keys, course.count, there)
    table = pad(_factors(want.decay, geometry.queries, dtype != torch.float32), (0, 0, 0, 1))
    return Plan(blocks, course, path, table.to(device)[path.order], shares)


def _factors(decay: tuple[float, ...], queries: int, split: bool) -> Tensor:
    """Return [T, n] what each query's weights count in each decayed sum, n a power of two.

    In two parts, bfloat16 each, where ``split``: the upper in the first half of the columns, what
    it leaves out in the second.
    """
    width = max(8 if split else 16, power_of_two(max(1, len(decay))))
    back = torch.arange(queries - 1, -1, -1, dtype=torch.float64)
    table = torch.zeros(queries, width)
    for n, factor in enumerate(decay):
        table[:, n] = (factor**back).float()
    if not split:
        return table
    upper = table.bfloat16()
    return torch.cat((upper, (table - upper.float()).bfloat16()), 1)
