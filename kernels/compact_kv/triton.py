"""Compaction on a GPU: every head's rows move to their places in one launch, without a second copy.

A program moves a few columns of one head and no other program touches them, so that order within
it is all that counts. Indices ascend, so the rows that move up come first: they move from the last
to the first, then those that move down from the first to the last. Neither pass writes where a row
has still to be read, but rows of one block may lie on each other's places: all threads have read
before one writes.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.launch import Launch

ROWS = 1024
"""Rows a program has under way at once: the fewer times it waits for memory, the sooner it ends."""
COLUMN_BYTES = 32
"""Bytes of a row that a program moves: a sector of a GPU's memory."""


@triton.jit(
    do_not_specialize=(
        *("width", "first_start", "start_step", "first_place", "place_step", "kept_count"),
    )
)
def move_rows(
    buffer, kept, moves, width, row_stride,
    first_start, start_step, first_place, place_step, kept_count,
    block_rows: tl.constexpr, block_columns: tl.constexpr,
):  # fmt: skip
    """Move one head's kept rows, some columns of them, to their places."""
    head = tl.program_id(1).to(tl.int64)
    if moves is None:
        start, place = first_start + head * start_step, first_place + head * place_step
        count = kept_count
        kept += head * kept_count
    else:
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


@dataclass(frozen=True)
class Moves:
    """Where heads' kept rows are and go: by arithmetic, or by a table where that is not enough.

    Head g begins at ``start + g start_step`` and its ``most`` rows go to ``place + g place_step``;
    with a table [G, 4] int64 at its first column and its second, its indices begin at the third,
    and the fourth is how many they are, at most ``most``.
    """

    heads: int
    most: int
    start: int = 0
    start_step: int = 0
    place: int = 0
    place_step: int = 0
    table: Tensor | None = None


def launch(buffer: Tensor, kept: Tensor, moves: Moves) -> Launch:
    """Prepare the moves.

    Args:
        buffer: [N, ...] contiguous.
        kept: every head's indices one after the other, int64.
        moves: where they are and go.
    """
    words = _as_words(buffer)
    columns = triton.next_power_of_2(min(words.shape[1], COLUMN_BYTES // words.itemsize))
    grid = (triton.cdiv(words.shape[1], columns), moves.heads)
    rows = min(ROWS, triton.next_power_of_2(max(1, moves.most)))
    arguments = {
        "buffer": words,
        "kept": kept,
        "moves": moves.table,
        "width": words.shape[1],
        "row_stride": words.stride(0),
        "first_start": moves.start,
        "start_step": moves.start_step,
        "first_place": moves.place,
        "place_step": moves.place_step,
        "kept_count": moves.most,
        "block_rows": rows,
        "block_columns": columns,
    }
    warps = 8 if rows > 256 else 4
    options = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    return Launch(move_rows, grid, arguments, options)


@torch.no_grad()
def compact_kv(
    buffer: Tensor, starts: Sequence[int], kept: Sequence[Tensor] | Tensor, places: Sequence[int]
) -> None:
    """Compute what ``kernels.compact_kv`` documents, on a CUDA device, for a contiguous buffer."""
    counts = [len(rows) for rows in kept]
    if not sum(counts) or not buffer.numel():
        return
    rows = kept.flatten() if isinstance(kept, Tensor) else torch.cat(tuple(kept))
    moves = _moves(starts, places, counts, buffer.device)
    with torch.cuda.device(buffer.device) if buffer.is_cuda else nullcontext():
        launch(buffer, rows.contiguous(), moves).run()


def _moves(
    starts: Sequence[int], places: Sequence[int], counts: list[int], device: torch.device
) -> Moves:
    """Return the moves; a table, which takes a copy to the device, only for uneven heads."""
    steps = [{b - a for a, b in pairwise(offsets)} or {0} for offsets in (starts, places)]
    if len(set(counts)) == 1 and all(len(found) == 1 for found in steps):
        (start_step,), (place_step,) = steps
        return Moves(len(counts), counts[0], starts[0], start_step, places[0], place_step)
    ends = accumulate(counts)
    rows = [
        (start, place, end - count, count)
        for start, place, end, count in zip(starts, places, ends, counts, strict=True)
    ]
    return Moves(len(counts), max(counts), table=torch.tensor(rows, device=device))


def _as_words(buffer: Tensor) -> Tensor:
    """View rows of anything [N, ...] as integers [N, n], as wide as their bytes allow."""
    rows = buffer.view(len(buffer), -1)
    row_bytes = rows.shape[1] * rows.itemsize
    for word in (torch.int32, torch.int16):
        if row_bytes % word.itemsize == 0:
            return rows.view(word)
    return rows.view(torch.uint8)
