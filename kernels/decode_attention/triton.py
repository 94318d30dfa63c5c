"""Attention of a few queries over a cache on a GPU: the keys are shared out, the parts joined.

Flash decoding (Dao et al., 2023): few queries leave a GPU idle unless many programs read one head's
keys. Each takes a run of them for all query heads of a group, so that keys are read once, and
leaves its sums by its own highest logit; a second kernel joins the sums and turns saved logits into
weights. Entries may be chosen: then a place in the choice stands for an entry of the cache.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.attention_stats.triton.blocks import Blocks, padded_size, power_of_two
from tokenarium.kernels.attention_stats.triton.layer import LOG2_E as TO_LOG2
from tokenarium.kernels.attention_stats.triton.layer import rows_in_one_piece
from tokenarium.kernels.attention_stats.triton.weights import HIDDEN, LOG2_E, product, scaled
from tokenarium.kernels.launch import Launch

PROGRAMS = 264
"""Programs wanted at once: two for each of the 132 multiprocessors of a large GPU."""
JOINED = tl.constexpr(8)
"""Parts added at once when they are joined."""
WEIGHTS = 512
"""Weights that one program of the second kernel writes."""
BEYOND = tl.constexpr(1 << 30)
"""An entry that no head has."""

empty = torch.empty


# Numbers that change from step to step are not specialised: each value would be compiled anew.
@triton.jit(do_not_specialize=("queries", "per_group", "slots", "chunk", "window"))
def attend(
    q, keys, values, heads, chosen, saved, sums, peaks, totals,
    q_head, q_row, key_row, value_row,
    queries, per_group, slots, chunk, window, factor, cap,
    size: tl.constexpr, value_size: tl.constexpr,
    padded: tl.constexpr, padded_values: tl.constexpr, chosen_together: tl.constexpr,
    block_rows: tl.constexpr, block_keys: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Attend over one run of one head's keys and write the highest logit and the sums by it."""
    group = tl.program_id(2).to(tl.int64)
    rows = per_group * queries
    row = tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    real = row < rows
    lane, value_lane = tl.arange(0, padded)[None, :], tl.arange(0, padded_values)[None, :]
    own = q + (group * per_group + row // queries)[:, None] * q_head
    own += (row % queries).to(tl.int64)[:, None] * q_row + lane
    block = tl.load(own, mask=real[:, None] & (lane < size), other=0.0)
    start, count = tl.load(heads + 2 * group), tl.load(heads + 2 * group + 1).to(tl.int32)
    newest = (count - queries + row % queries)[:, None]
    begin = tl.program_id(0) * chunk
    end = tl.minimum(begin + chunk, slots)
    if chosen is None:
        end = tl.minimum(end, count)
    else:
        chosen += group * slots // chosen_together
    if window is not None:
        oldest = tl.maximum(0, count - queries + 1 - window) // block_keys * block_keys
        begin = tl.maximum(begin, oldest)
    highest = tl.full([block_rows], HIDDEN, tl.float32)
    total = tl.zeros_like(highest)
    part = tl.zeros([block_rows, padded_values], tl.float32)
    for first in range(begin, end, block_keys):
        slot = first + tl.arange(0, block_keys)
        entry = _entries(chosen, slot, slots, chosen_together)
        there = (entry < count)[:, None]
        at = keys + (start + entry)[:, None] * key_row + lane
        found = tl.load(at, mask=there & (lane < size), other=0.0)
        logits = scaled(product(block, tl.trans(found), upcast), factor, cap)
        seen = _seen(entry[None, :], newest, window)
        logits = tl.where(seen, logits, HIDDEN)
        if saved is not None:
            at = saved + (group * rows + row)[:, None] * slots + slot[None, :]
            tl.store(at, logits, mask=real[:, None] & (slot < slots)[None, :])
        peak = tl.maximum(highest, tl.max(logits, 1))
        keep = tl.exp2(highest - peak)
        weights = tl.where(seen, tl.exp2(logits - peak[:, None]), 0.0)
        total = keep * total + tl.sum(weights, 1)
        at = values + (start + entry)[:, None] * value_row + value_lane
        found = tl.load(at, mask=there & (value_lane < value_size), other=0.0)
        part = part * keep[:, None] + product(weights.to(found.dtype), found, upcast)
        highest = peak
    line = (tl.program_id(0) * tl.num_programs(2) + group) * rows + row
    tl.store(peaks + line, highest, mask=real)
    tl.store(totals + line, total, mask=real)
    inside = real[:, None] & (value_lane < value_size)
    tl.store(sums + line[:, None] * value_size + value_lane, part, mask=inside)


@triton.jit(do_not_specialize=("queries", "per_group", "slots", "splits", "window"))
def join(
    sums, peaks, totals, sinks, heads, chosen, saved, out,
    queries, per_group, slots, splits, window,
    value_size: tl.constexpr, padded_values: tl.constexpr, padded_splits: tl.constexpr,
    chosen_together: tl.constexpr, block_weights: tl.constexpr,
):  # fmt: skip
    """Write one query's output from the sums of all parts, and weights in the place of logits."""
    rows = tl.num_programs(0)
    row = tl.program_id(0).to(tl.int64)
    head = row // queries
    split = tl.arange(0, padded_splits)
    line = split.to(tl.int64) * rows + row
    part_peaks = tl.load(peaks + line, mask=split < splits, other=HIDDEN)
    highest = tl.max(part_peaks, 0)
    if sinks is not None:
        sink = tl.load(sinks + head).to(tl.float32) * LOG2_E
        highest = tl.maximum(highest, sink)
    part_totals = tl.load(totals + line, mask=split < splits, other=0.0)
    total = tl.sum(tl.exp2(part_peaks - highest) * part_totals, 0)
    if sinks is not None:
        total += tl.exp2(sink - highest)
    share = tl.where(total > 0, 1 / tl.where(total > 0, total, 1.0), 0.0)
    if tl.program_id(1) == 0:
        lane = tl.arange(0, padded_values)
        whole = tl.zeros([padded_values], tl.float32)
        for first in range(0, splits, JOINED):
            some = first + tl.arange(0, JOINED)
            at = some.to(tl.int64) * rows + row
            scale = tl.exp2(tl.load(peaks + at, mask=some < splits, other=HIDDEN) - highest)
            inside = (some < splits)[:, None] & (lane < value_size)[None, :]
            part = tl.load(sums + at[:, None] * value_size + lane[None, :], mask=inside, other=0.0)
            whole += tl.sum(part * scale[:, None], 0)
        target = out + (row % queries * (rows // queries) + head) * value_size + lane
        tl.store(target, (whole * share).to(out.dtype.element_ty), mask=lane < value_size)
    if saved is not None:
        group = head // per_group
        if chosen is not None:
            chosen += group * slots // chosen_together
        slot = tl.program_id(1) * block_weights + tl.arange(0, block_weights)
        newest = tl.load(heads + 2 * group + 1) - queries + row % queries
        entry = _entries(chosen, slot, slots, chosen_together)
        seen = _seen(entry, newest, window) & (slot < slots)
        logits = tl.load(saved + row * slots + slot, mask=seen, other=HIDDEN)
        weights = tl.where(seen, tl.exp2(logits - highest) * share, 0.0)
        tl.store(saved + row * slots + slot, weights, mask=slot < slots)


@triton.jit
def _entries(chosen, slot, slots, chosen_together: tl.constexpr):
    """Entry of the head that each place stands for."""
    entry = slot
    if chosen is not None:
        found = tl.load(chosen + slot // chosen_together, mask=slot < slots, other=BEYOND)
        entry = found * chosen_together + slot % chosen_together
    return entry


@triton.jit
def _seen(entry, newest, window):
    """Whether a query whose own entry is ``newest`` sees an entry."""
    seen = entry <= newest
    if window is not None:
        seen = seen & (entry > newest - window)
    return seen


@dataclass(frozen=True)
class Choice:
    """Blocks of so many entries, ascending in each head, [G, m] int64; ones no head has pad."""

    blocks: Tensor
    together: int


@dataclass(frozen=True)
class Decoding:
    """The two launches and what they write, as ``kernels.decode_attention`` returns it."""

    launches: tuple[Launch, Launch]
    out: Tensor
    weights: Tensor | None

    def run(self) -> tuple[Tensor, Tensor | None]:
        """Start the kernels where their output lies."""
        with torch.cuda.device(self.out.device) if self.out.is_cuda else nullcontext():
            for launch in self.launches:
                launch.run()
        return self.out, self.weights


@torch.no_grad()
def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Sequence[int],
    counts: Sequence[int],
    *,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
    want_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute what ``kernels.decode_attention`` documents, on a CUDA device."""
    heads = head_table(tuple(starts), tuple(counts), q.device)
    return decoding(
        q, keys, values, heads, max(counts), None, scaling, softcap, sinks, window, want_weights
    ).run()


@lru_cache(maxsize=64)
def head_table(starts: tuple[int, ...], counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Return [G, 2] starts and counts on a device: one copy for all layers that hold alike."""
    return torch.tensor(list(zip(starts, counts, strict=True)), device=device)


def decoding(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    heads: Tensor,
    slots: int,
    choice: Choice | None,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
    want_weights: bool,
) -> Decoding:
    """Prepare both kernels over ``slots`` places a head, and room for what they write."""
    assert choice is None or window is None  # a window's first entry has no known place in a choice
    (total_heads, queries, size), value_size, groups = q.shape, values.shape[1], len(heads)
    q, keys, values = (rows_in_one_piece(given) for given in (q, keys, values))
    rows = total_heads // groups * queries
    blocks = decode_blocks(q.dtype, padded_size(max(size, value_size)), rows)
    row_blocks = triton.cdiv(rows, blocks.queries)
    parts = max(1, PROGRAMS // (groups * row_blocks))
    chunk = max(1, triton.cdiv(triton.cdiv(slots, parts), blocks.keys)) * blocks.keys
    splits = max(1, triton.cdiv(slots, chunk))

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return empty(shape, dtype=dtype, device=q.device)

    out = new(queries, total_heads, value_size, dtype=q.dtype)
    weights = new(total_heads, queries, slots) if want_weights else None
    factor, cap = scaling * TO_LOG2, None
    if softcap is not None:
        factor, cap = 2 * factor / softcap, softcap * TO_LOG2
    shared = {
        "heads": heads,
        "chosen": None if choice is None else choice.blocks,
        "chosen_together": 1 if choice is None else choice.together,
        "saved": weights,
        "sums": new(splits, groups * rows, value_size),
        "peaks": new(splits, groups * rows),
        "totals": new(splits, groups * rows),
        "queries": queries,
        "per_group": total_heads // groups,
        "slots": slots,
        "window": window,
        "value_size": value_size,
        "padded_values": padded_size(value_size),
    }
    reading = shared | {
        "q": q,
        "keys": keys,
        "values": values,
        "q_head": q.stride(0),
        "q_row": q.stride(1),
        "key_row": keys.stride(0),
        "value_row": values.stride(0),
        "chunk": chunk,
        "factor": factor,
        "cap": cap,
        "size": size,
        "padded": padded_size(size),
        "block_rows": blocks.queries,
        "block_keys": blocks.keys,
        "upcast": q.device.type == "cpu",  # the interpreter multiplies the raw bits of bfloat16
    }
    joining = shared | {
        "sinks": sinks,
        "out": out,
        "splits": splits,
        "padded_splits": power_of_two(splits),
        "block_weights": WEIGHTS,
    }
    attending = Launch(attend, (splits, row_blocks, groups), reading, blocks.options)
    width = triton.cdiv(slots, WEIGHTS) if want_weights else 1
    last = Launch(join, (total_heads * queries, max(1, width)), joining, JOIN_OPTIONS)
    return Decoding((attending, last), out, weights)


JOIN_OPTIONS = {"num_warps": 4, "num_stages": 2, "enable_fp_fusion": True}


def decode_blocks(dtype: torch.dtype, size: int, rows: int) -> Blocks:
    """Choose for ``attend``, for heads padded to ``size`` and so many query rows a key head.

    These are the largest blocks found that spill no register.
    """
    most = 16 if dtype == torch.float32 and size > 64 else 32
    block_rows = min(most, max(16, power_of_two(rows)))
    if dtype == torch.float32:
        return Blocks(block_rows, 32 if size <= 64 else 16, 4, 2)
    return Blocks(block_rows, 64 if size <= (128 if block_rows == 16 else 64) else 32, 4, 3)
