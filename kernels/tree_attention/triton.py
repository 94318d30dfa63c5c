"""Attention over a tree on a GPU: the keys are shared out, ancestors are bits, the parts joined.

A program takes a run of keys for the query rows of one group of heads, as in ``decode_attention``,
whose kernel joins the parts. Places stand for keys: first the text, padded to whole blocks, then
the nodes, so that the nodes of a block share one word of every query's ancestor mask.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.attention_stats.triton.blocks import Blocks, padded_size, power_of_two
from tokenarium.kernels.attention_stats.triton.layer import LOG2_E as TO_LOG2
from tokenarium.kernels.attention_stats.triton.layer import rows_in_one_piece
from tokenarium.kernels.attention_stats.triton.weights import HIDDEN, product, scaled
from tokenarium.kernels.decode_attention.triton import (
    JOIN_OPTIONS,
    PROGRAMS,
    WEIGHTS,
    decode_blocks,
    join,
)
from tokenarium.kernels.launch import Launch
from tokenarium.kernels.tree_attention.ancestry import WORD, Ancestry

empty = torch.empty


# Numbers that change from round to round are not specialised: each value would be compiled anew.
@triton.jit(
    do_not_specialize=("queries", "per_group", "text", "nodes", "words", "begin", "chunk", "window")
)
def attend(
    q, keys, values, ancestors, depths, sums, peaks, totals,
    q_head, q_row, key_group, key_row, value_group, value_row,
    queries, per_group, text, nodes, words, begin, chunk, window, factor, cap,
    size: tl.constexpr, value_size: tl.constexpr,
    padded: tl.constexpr, padded_values: tl.constexpr, word_bits: tl.constexpr,
    block_rows: tl.constexpr, block_keys: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Attend over one run of one group's keys; write the highest logit and the sums by it."""
    group = tl.program_id(2).to(tl.int64)
    rows = per_group * queries
    row = tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    real = row < rows
    query = row % queries
    lane, value_lane = tl.arange(0, padded)[None, :], tl.arange(0, padded_values)[None, :]
    own = q + (group * per_group + row // queries)[:, None] * q_head
    own += query.to(tl.int64)[:, None] * q_row + lane
    block = tl.load(own, mask=real[:, None] & (lane < size), other=0.0)
    text_end = (text + block_keys - 1) // block_keys * block_keys
    first_place = begin + tl.program_id(0) * chunk
    end = tl.minimum(first_place + chunk, text_end + nodes)
    if window is not None:
        depth = tl.load(depths + nodes - queries + query, mask=real, other=0)
    highest = tl.full([block_rows], HIDDEN, tl.float32)
    total = tl.zeros_like(highest)
    part = tl.zeros([block_rows, padded_values], tl.float32)
    for first in range(first_place, end, block_keys):
        place = first + tl.arange(0, block_keys)
        node = place - text_end
        entry = tl.where(node >= 0, text + node, place)
        of_tree = (node >= 0) & (node < nodes)
        there = (place < text) | of_tree
        at = keys + group * key_group + entry.to(tl.int64)[:, None] * key_row + lane
        found = tl.load(at, mask=there[:, None] & (lane < size), other=0.0)
        logits = scaled(product(block, tl.trans(found), upcast), factor, cap)
        # A block of text loads no word: all bits are set in its place.
        first_node = first - text_end + tl.zeros_like(query)
        at = ancestors + query.to(tl.int64) * words + first_node // word_bits
        word = tl.load(at, mask=real & (first_node >= 0), other=-1)
        bits = word >> tl.maximum(0, first_node) % word_bits
        if block_keys <= 32:
            bits = bits.to(tl.int32)
        seen = ((bits[:, None] >> tl.arange(0, block_keys)[None, :]) & 1) != 0
        seen = seen & there[None, :]
        if window is not None:
            node_depth = tl.load(depths + node, mask=of_tree, other=0)
            level = tl.where(of_tree, node_depth, place - text)
            seen = seen & (level[None, :] > depth[:, None] - window)
        logits = tl.where(seen, logits, HIDDEN)
        peak = tl.maximum(highest, tl.max(logits, 1))
        keep = tl.exp2(highest - peak)
        weights = tl.where(seen, tl.exp2(logits - peak[:, None]), 0.0)
        total = keep * total + tl.sum(weights, 1)
        at = values + group * value_group + entry.to(tl.int64)[:, None] * value_row + value_lane
        found = tl.load(at, mask=there[:, None] & (value_lane < value_size), other=0.0)
        part = part * keep[:, None] + product(weights.to(found.dtype), found, upcast)
        highest = peak
    line = (tl.program_id(0) * tl.num_programs(2) + group) * rows + row
    tl.store(peaks + line, highest, mask=real)
    tl.store(totals + line, total, mask=real)
    inside = real[:, None] & (value_lane < value_size)
    tl.store(sums + line[:, None] * value_size + value_lane, part, mask=inside)


@dataclass(frozen=True)
class Verifying:
    """The two launches and what they write, as ``tokenarium.kernels.tree_attention`` returns it."""

    launches: tuple[Launch, Launch]
    out: Tensor

    def run(self) -> Tensor:
        """Start the kernels where their output lies."""
        with torch.cuda.device(self.out.device) if self.out.is_cuda else nullcontext():
            for launch in self.launches:
                launch.run()
        return self.out


@torch.no_grad()
def tree_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    tree: Ancestry,
    *,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
) -> Tensor:
    """Compute what ``tokenarium.kernels.tree_attention`` documents, on a CUDA device."""
    table = tree.table(q.shape[1], q.device)
    unseen = tree.first_seen(q.shape[1], keys.shape[1] - len(tree), window)
    return verifying(q, keys, values, *table, unseen, scaling, softcap, sinks, window).run()


def verifying(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    ancestors: Tensor,
    depths: Tensor,
    unseen: int,
    scaling: float,
    softcap: float | None,
    sinks: Tensor | None,
    window: int | None,
) -> Verifying:
    """Prepare both kernels, which skip the ``unseen`` first keys, and room for what they write."""
    (heads, queries, size), (groups, held, value_size) = q.shape, values.shape
    q, keys, values = (rows_in_one_piece(given) for given in (q, keys, values))
    rows = heads // groups * queries
    blocks = tree_blocks(q.dtype, padded_size(max(size, value_size)), rows)
    assert blocks.keys <= WORD  # the nodes of a block share a word
    row_blocks = triton.cdiv(rows, blocks.queries)
    text = held - len(depths)
    begin = unseen // blocks.keys * blocks.keys
    places = triton.cdiv(text, blocks.keys) * blocks.keys + len(depths) - begin
    parts = max(1, PROGRAMS // (groups * row_blocks))
    chunk = triton.cdiv(triton.cdiv(places, parts), blocks.keys) * blocks.keys
    splits = triton.cdiv(places, chunk)

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return empty(shape, dtype=dtype, device=q.device)

    out = new(queries, heads, value_size, dtype=q.dtype)
    factor, cap = scaling * TO_LOG2, None
    if softcap is not None:
        factor, cap = 2 * factor / softcap, softcap * TO_LOG2
    shared = {
        "sums": new(splits, groups * rows, value_size),
        "peaks": new(splits, groups * rows),
        "totals": new(splits, groups * rows),
        "queries": queries,
        "per_group": heads // groups,
        "value_size": value_size,
        "padded_values": padded_size(value_size),
    }
    reading = shared | {
        "q": q,
        "keys": keys,
        "values": values,
        "ancestors": ancestors,
        "depths": depths,
        "q_head": q.stride(0),
        "q_row": q.stride(1),
        "key_group": keys.stride(0),
        "key_row": keys.stride(1),
        "value_group": values.stride(0),
        "value_row": values.stride(1),
        "text": text,
        "nodes": len(depths),
        "words": ancestors.shape[1],
        "begin": begin,
        "chunk": chunk,
        "window": window,
        "factor": factor,
        "cap": cap,
        "size": size,
        "padded": padded_size(size),
        "word_bits": WORD,
        "block_rows": blocks.queries,
        "block_keys": blocks.keys,
        "upcast": q.device.type == "cpu",  # the interpreter multiplies the raw bits of bfloat16
    }
    joining = shared | {
        "sinks": sinks,
        "heads": None,
        "chosen": None,
        "saved": None,
        "out": out,
        "slots": 0,
        "window": None,
        "splits": splits,
        "chosen_together": 1,
        "padded_splits": power_of_two(splits),
        "block_weights": WEIGHTS,
    }
    attending = Launch(attend, (splits, row_blocks, groups), reading, blocks.options)
    last = Launch(join, (heads * queries, 1), joining, JOIN_OPTIONS)
    return Verifying((attending, last), out)


def tree_blocks(dtype: torch.dtype, size: int, rows: int) -> Blocks:
    """Choose for ``attend``, for heads padded to ``size`` and so many query rows a key head.

    These are the largest blocks found that spill no register: masks take more of them than
    ``decode_attention`` needs.
    """
    blocks = decode_blocks(dtype, size, rows)
    return replace(blocks, queries=16) if dtype == torch.float32 else blocks
