"""Compaction on a GPU: every head's rows move to their places in one launch, without a second copy.

A program moves a few columns of one head and no other program touches them, so that order within
it is all that counts. Indices ascend, so the rows that move up come first: they move from the last
to the first, then those that move down from the first to the last. Neither pass writes where a row
has still to be read, but rows of one block may lie on each other's places: all threads have read
before one writes.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.launch import Launch

ROWS = 128
"""Rows a program has under way at once."""
COLUMN_BYTES = 64
"""Bytes of a row that a program moves: two sectors of a GPU's memory."""
OPTIONS = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}


@triton.jit(do_not_specialize=("width",))
def move_rows(
    buffer, kept, moves, width, row_stride, block_rows: tl.constexpr, block_columns: tl.constexpr
):
    """Move one head's kept rows, some columns of them, to their places."""
    head = tl.program_id(1)
    start, place = tl.load(moves + 4 * head), tl.load(moves + 4 * head + 1)
    kept += tl.load(moves + 4 * head + 2)
    count = tl.load(moves + 4 * head + 3).to(tl.int32)
    column = tl.program_id(0) * block_columns + tl.arange(0, block_columns)
    buffer += column[None, :]
    inside = (column < width)[None, :]
    blocks = tl.cdiv(count, block_rows)
    if place > start:
        for n in range(blocks):
            first = (blocks - 1 - n) * block_rows
            _move_block(
                buffer, kept, first, count, start, place, inside, row_stride, block_rows, True
            )
    for n in range(blocks):
        _move_block(
            buffer, kept, n * block_rows, count, start, place, inside, row_stride, block_rows, False
        )


@triton.jit
def _move_block(
    buffer, kept, first, count, start, place, inside, row_stride,
    block_rows: tl.constexpr, up: tl.constexpr,
):  # fmt: skip
    """Move those of a block of kept rows that go up, or those that go down."""
    row = first + tl.arange(0, block_rows)
    source = start + tl.load(kept + row, mask=row < count, other=0)
    target = place + row
    going = target > source if up else target < source
    going = (going & (row < count))[:, None] & inside
    found = tl.load(buffer + source[:, None] * row_stride, mask=going)
    tl.debug_barrier()
    tl.store(buffer + target[:, None] * row_stride, found, mask=going)


def launch(buffer: Tensor, kept: Tensor, moves: Tensor, most: int) -> Launch:
    """Prepare the moves.

    Args:
        buffer: [N, ...] contiguous.
        kept: every head's indices one after the other, int64.
        moves: [G, 4] int64: a head's start, its place, where its indices begin and how many.
        most: the largest number of rows that a head keeps.
    """
    words = _as_words(buffer)
    columns = triton.next_power_of_2(min(words.shape[1], COLUMN_BYTES // words.itemsize))
    grid = (triton.cdiv(words.shape[1], columns), len(moves))
    arguments = {
        "buffer": words,
        "kept": kept,
        "moves": moves,
        "width": words.shape[1],
        "row_stride": words.stride(0),
        "block_rows": min(ROWS, triton.next_power_of_2(max(1, most))),
        "block_columns": columns,
    }
    return Launch(move_rows, grid, arguments, OPTIONS)


@torch.no_grad()
def compact_kv(
    buffer: Tensor, starts: Sequence[int], kept: Sequence[Tensor] | Tensor, places: Sequence[int]
) -> None:
    """Compute what ``kernels.compact_kv`` documents, on a CUDA device, for a contiguous buffer."""
    counts = [len(rows) for rows in kept]
    if not sum(counts) or not buffer.numel():
        return
    moves, begin = [], 0
    for start, place, count in zip(starts, places, counts, strict=True):
        moves.append((start, place, begin, count))
        begin += count
    rows = kept.flatten() if isinstance(kept, Tensor) else torch.cat(tuple(kept))
    table = torch.tensor(moves, device=buffer.device)
    with torch.cuda.device(buffer.device) if buffer.is_cuda else nullcontext():
        launch(buffer, rows.contiguous(), table, max(counts)).run()


def _as_words(buffer: Tensor) -> Tensor:
    """View rows of anything [N, ...] as integers [N, n], as wide as their bytes allow."""
    rows = buffer.view(len(buffer), -1)
    row_bytes = rows.shape[1] * rows.itemsize
    for word in (torch.int32, torch.int16):
        if row_bytes % word.itemsize == 0:
            return rows.view(word)
    return rows.view(torch.uint8)
