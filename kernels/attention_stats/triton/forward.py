"""The output and the statistics of whole rows: one program per block of queries and head.

Flash attention (Dao, 2023, arXiv:2307.08691) with two more running sums per row: with p the
weights before division and x their logits less the row's highest so far, sum p x gives the entropy
and sum p (key - first query) the mean distance. A new maximum rescales all of them.
"""

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Want
from tokenarium.kernels.attention_stats.triton.blocks import forward_blocks, padded_size
from tokenarium.kernels.attention_stats.triton.layer import Layer, empty
from tokenarium.kernels.attention_stats.triton.weights import (
    HIDDEN,
    LOG2_E,
    biased,
    hidden,
    product,
    scaled,
)
from tokenarium.kernels.launch import Launch

LN_2 = tl.constexpr(0.6931471805599453)


# Arguments that differ from text to text are not specialised: each value would be compiled anew.
@triton.jit(do_not_specialize=("mask_head", "queries", "keys", "offset", "window", "per_group"))
def forward(
    q, k, v, mask, sinks, out, log_sum, entropy, distance,
    q_head, q_row, k_head, k_row, v_head, v_row, mask_head,
    queries, keys, offset, window, per_group, factor, cap,
    size: tl.constexpr, value_size: tl.constexpr,
    padded: tl.constexpr, padded_values: tl.constexpr,
    block_queries: tl.constexpr, block_keys: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Attend and write each row's output, log2 of its sum, entropy and mean distance."""
    head = tl.program_id(1).to(tl.int64)
    # The last queries see the most keys: starting with them keeps the end of the run busy.
    first = (tl.num_programs(0) - 1 - tl.program_id(0)) * block_queries
    row = first + tl.arange(0, block_queries)
    real = row < queries
    lane = tl.arange(0, padded)[None, :]
    k += head // per_group * k_head
    v += head // per_group * v_head
    if mask is not None:
        mask += head * mask_head
    at = q + head * q_head + row.to(tl.int64)[:, None] * q_row + lane
    block = tl.load(at, mask=real[:, None] & (lane < size), other=0.0)
    highest = tl.full([block_queries], HIDDEN, tl.float32)
    if sinks is not None:
        highest = tl.zeros_like(highest) + tl.load(sinks + head).to(tl.float32) * LOG2_E
    sink = highest
    total, energy, moment = tl.zeros_like(highest), tl.zeros_like(highest), tl.zeros_like(highest)
    sums = tl.zeros([block_queries, padded_values], tl.float32)
    # Every query of the block sees the keys before ``whole``, unless a window hides them.
    whole = tl.minimum(offset + first + 1, keys) // block_keys * block_keys
    newest = tl.minimum(offset + first + block_queries, keys)
    oldest = 0
    if window is not None:
        oldest = tl.maximum(0, offset + first - window + 1) // block_keys * block_keys
        whole = tl.maximum(oldest, whole)
    for edge in tl.static_range(2):
        begin, end = oldest, whole
        if edge:
            begin, end = whole, newest
        for start in range(begin, end, block_keys):
            highest, total, energy, moment, sums = _add_keys(
                block, k, v, mask, start, first, highest, total, energy, moment, sums,
                k_row, v_row, queries, keys, offset, window, factor, cap, size, value_size,
                block_keys, edge, entropy is not None, distance is not None, upcast,
            )  # fmt: skip
    whole_sum = total
    if sinks is not None:
        whole_sum += tl.exp2(sink - highest)
    tl.store(log_sum + head * queries + row, highest + tl.log2(whole_sum), mask=real)
    if entropy is not None:
        nats = LN_2 * (total / whole_sum * tl.log2(whole_sum) - energy / whole_sum)
        tl.store(entropy + head * queries + row, nats, mask=real)
    if distance is not None:
        tokens = ((row - first) * total - moment) / whole_sum
        tl.store(distance + head * queries + row, tokens, mask=real)
    lane = tl.arange(0, padded_values)[None, :]
    at = out + (row.to(tl.int64)[:, None] * tl.num_programs(1) + head) * value_size + lane
    sums = (sums / whole_sum[:, None]).to(out.dtype.element_ty)
    tl.store(at, sums, mask=real[:, None] & (lane < value_size))


@triton.jit
def _add_keys(
    block, k, v, mask, start, first, highest, total, energy, moment, sums,
    k_row, v_row, queries, keys, offset, window, factor, cap,
    size: tl.constexpr, value_size: tl.constexpr, block_keys: tl.constexpr, edge: tl.constexpr,
    with_entropy: tl.constexpr, with_distance: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Add a block of keys to the running sums; only at an ``edge`` is a key hidden or missing."""
    row = first + tl.arange(0, block.shape[0])[:, None]
    local = tl.arange(0, block_keys)
    key = (start + local)[None, :]
    there = (start + local < keys)[:, None]
    lane = tl.arange(0, block.shape[1])[None, :]
    at = k + tl.cast(start, tl.int64) * k_row + local[:, None] * k_row + lane
    found = tl.load(at, mask=there & (lane < size), other=0.0)
    logits = scaled(product(block, tl.trans(found), upcast), factor, cap)
    if mask is not None:
        inside = (row < queries) & (key < keys)
        logits = biased(
            logits, tl.load(mask + row.to(tl.int64) * keys + key, mask=inside, other=0.0)
        )
    if edge or window is not None:
        logits = hidden(logits, offset + row, key, keys, window)
    peak = tl.maximum(highest, tl.max(logits, 1))
    keep = tl.exp2(highest - peak)
    logits -= peak[:, None]
    weights = tl.exp2(logits)
    if with_entropy:
        energy = keep * (energy + (highest - peak) * total) + tl.sum(weights * logits, 1)
    if with_distance:  # counted from the block's first query: small numbers, no cancellation
        ahead = (start + local - offset - first).to(tl.float32)
        moment = keep * moment + tl.sum(weights * ahead[None, :], 1)
    total = keep * total + tl.sum(weights, 1)
    lane = tl.arange(0, sums.shape[1])[None, :]
    at = v + tl.cast(start, tl.int64) * v_row + local[:, None] * v_row + lane
    found = tl.load(at, mask=there & (lane < value_size), other=0.0)
    sums = sums * keep[:, None] + product(weights.to(found.dtype), found, upcast)
    return peak, total, energy, moment, sums


@dataclass(frozen=True)
class Rows:
    """The launch and what it writes: ``out`` [T, H, Dv] in the dtype of q, the rest [H, T]."""

    launch: Launch
    out: Tensor
    log_sum: Tensor
    entropy: Tensor | None
    distance: Tensor | None


def forward_launch(layer: Layer, want: Want) -> Rows:
    """Prepare the pass over the rows, and room for what it writes."""
    heads, queries, values = layer.heads, layer.queries, layer.v.shape[2]
    out = empty((queries, heads, values), dtype=layer.q.dtype, device=layer.q.device)
    log_sum = layer.empty(queries)
    entropy = layer.empty(queries) if want.entropy else None
    distance = layer.empty(queries) if want.distance else None
    size = max(layer.padded, padded_size(values))
    masked, measured = layer.mask is not None, want.entropy or want.distance
    blocks = forward_blocks(layer.q.dtype, size, masked, measured, layer.target)
    arguments = layer.arguments() | {
        "v": layer.v,
        "v_head": layer.v.stride(0),
        "v_row": layer.v.stride(1),
        "sinks": layer.sinks,
        "out": out,
        "log_sum": log_sum,
        "entropy": entropy,
        "distance": distance,
        "value_size": values,
        "padded_values": padded_size(values),
        "block_queries": blocks.queries,
        "block_keys": blocks.keys,
    }
    launch = Launch(
        forward, (triton.cdiv(queries, blocks.queries), heads), arguments, blocks.options
    )
    return Rows(launch, out, log_sum, entropy, distance)
