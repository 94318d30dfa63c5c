"""Single weights: chosen columns and diagonals of the attention map, from the saved row sums."""

from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Want
from tokenarium.kernels.attention_stats.triton.blocks import padded_size, picked_blocks
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.attention_stats.triton.weights import biased, hidden, product, scaled
from tokenarium.kernels.launch import Launch


@triton.jit(
    do_not_specialize=(
        *("mask_head", "queries", "keys", "offset", "window", "per_group"),
        *("column_count", "diagonal_count"),
    )
)
def picked(
    q, k, mask, log_sum, wanted_columns, wanted_diagonals, columns, diagonals,
    q_head, q_row, k_head, k_row, mask_head,
    queries, keys, offset, window, per_group, factor, cap, column_count, diagonal_count,
    size: tl.constexpr, padded: tl.constexpr, padded_columns: tl.constexpr,
    block_queries: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Write the weights of a block of queries on the wanted keys."""
    head = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * block_queries + tl.arange(0, block_queries)
    real = row < queries
    lane = tl.arange(0, padded)[None, :]
    k += head // per_group * k_head
    if mask is not None:
        mask += head * mask_head
    at = q + head * q_head + row.to(tl.int64)[:, None] * q_row + lane
    block = tl.load(at, mask=real[:, None] & (lane < size), other=0.0)
    sums = tl.load(log_sum + head * queries + row, mask=real, other=float("inf"))
    if columns is not None:
        n = tl.arange(0, padded_columns)[:, None]
        key = tl.load(wanted_columns + n, mask=n < column_count, other=0).to(tl.int64)
        inside = (n < column_count) & (lane < size)
        found = tl.load(k + key * k_row + lane, mask=inside, other=0.0)
        logits = scaled(product(found, tl.trans(block), upcast), factor, cap)
        inside = (n < column_count) & real[None, :]
        if mask is not None:
            at = mask + row.to(tl.int64)[None, :] * keys + key
            logits = biased(logits, tl.load(at, mask=inside, other=0.0))
        logits = hidden(logits, offset + row[None, :], key, keys, window)
        at = columns + (head * column_count + n) * queries + row[None, :]
        tl.store(at, tl.exp2(logits - sums[None, :]), mask=inside)
    if diagonals is not None:
        for n in range(diagonal_count):
            _diagonal(
                block, tl.load(wanted_diagonals + n), k, mask, sums, row, lane,
                diagonals + (head * diagonal_count + n) * queries, k_row, queries, keys, offset,
                window, factor, cap, size,
            )  # fmt: skip


@triton.jit
def _diagonal(
    block, back, k, mask, sums, row, lane, diagonal, k_row, queries, keys, offset, window,
    factor, cap, size: tl.constexpr,
):  # fmt: skip
    """Write each query's weight on the key ``back`` before it."""
    key = offset + row - back
    there = (row < queries) & (key >= 0) & (key < keys)
    at = k + key.to(tl.int64)[:, None] * k_row + lane
    found = tl.load(at, mask=there[:, None] & (lane < size), other=0.0)
    logits = scaled(tl.sum(block.to(tl.float32) * found.to(tl.float32), 1), factor, cap)
    if mask is not None:
        at = mask + row.to(tl.int64) * keys + key
        logits = biased(logits, tl.load(at, mask=there, other=0.0))
    logits = hidden(logits, offset + row, key, keys, window)
    weight = tl.where(key >= 0, tl.exp2(logits - sums), float("nan"))
    tl.store(diagonal + row, weight, mask=row < queries)


@dataclass(frozen=True)
class Picks:
    """The launch and what it writes, each [H, n, T]."""

    launch: Launch
    columns: Tensor | None
    diagonals: Tensor | None


def picked_launch(layer: Layer, want: Want, log_sum: Tensor) -> Picks | None:
    """Prepare the pass over single weights and room for them; None where none is wanted."""
    if not want.columns and not want.diagonals:
        return None
    columns = layer.empty(len(want.columns), layer.queries) if want.columns else None
    diagonals = layer.empty(len(want.diagonals), layer.queries) if want.diagonals else None
    blocks = picked_blocks(layer.q.dtype)
    arguments = layer.arguments() | {
        "log_sum": log_sum,
        "wanted_columns": _positions(want.columns, layer.q.device),
        "wanted_diagonals": _positions(want.diagonals, layer.q.device),
        "columns": columns,
        "diagonals": diagonals,
        "column_count": len(want.columns),
        "diagonal_count": len(want.diagonals),
        "padded_columns": padded_size(len(want.columns)),
        "block_queries": blocks.queries,
    }
    grid = (triton.cdiv(layer.queries, blocks.queries), layer.heads)
    return Picks(Launch(picked, grid, arguments, blocks.options), columns, diagonals)


@lru_cache(maxsize=32)
def _positions(wanted: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(wanted, dtype=torch.int32, device=device)
