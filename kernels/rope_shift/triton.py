"""Turning on a GPU: angles are made where they are used and never stored.

Sine and cosine are computed here: the library's keep parts of large angles in slow local memory.
"""

from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.launch import Launch

ELEMENTS = 2048
"""Pairs of entries that a program turns."""
OPTIONS = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": False}
"""Products and sums rounded one by one, as PyTorch's: an angle of 1e5 shows the difference."""

empty = torch.empty


@triton.jit(do_not_specialize=("rows", "length"))
def turn(
    x, by, frequencies, out, rows, length,
    size: tl.constexpr, half: tl.constexpr, padded_half: tl.constexpr, padded_rest: tl.constexpr,
    interleaved: tl.constexpr, block_rows: tl.constexpr,
):  # fmt: skip
    """Turn every pair of a block of vectors, and copy what does not turn."""
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    there = (row < rows)[:, None]
    lane = tl.arange(0, padded_half)
    steps = tl.load(by + row % length, mask=row < rows, other=0).to(tl.float32)
    frequency = tl.load(frequencies + lane, mask=lane < half, other=0.0).to(tl.float32)
    angle = steps[:, None] * frequency[None, :]
    cosine, sine = _cosine_and_sine(angle)
    if interleaved:
        first, second = 2 * lane, 2 * lane + 1
    else:
        first, second = lane, lane + half
    base = row.to(tl.int64)[:, None] * size
    inside = there & (lane < half)[None, :]
    a = tl.load(x + base + first[None, :], mask=inside, other=0.0).to(tl.float32)
    b = tl.load(x + base + second[None, :], mask=inside, other=0.0).to(tl.float32)
    tl.store(out + base + first[None, :], a * cosine - b * sine, mask=inside)
    tl.store(out + base + second[None, :], b * cosine + a * sine, mask=inside)
    if size > 2 * half:
        still = 2 * half + tl.arange(0, padded_rest)[None, :]
        inside = there & (still < size)
        found = tl.load(x + base + still, mask=inside, other=0.0)
        tl.store(out + base + still, found.to(tl.float32), mask=inside)


@triton.jit
def _cosine_and_sine(angle):
    """Both of a float32 angle up to a million: their Taylor series within an eighth of a turn.

    Quarter turns are taken off in parts of few bits, so that each product with a part is exact
    (Cody and Waite, 1980).
    """
    quarters = tl.floor(angle * 0.6366197723675814 + 0.5)  # 2 / pi
    x = angle - quarters * 1.5
    x -= quarters * 0.0703125
    x -= quarters * 0.00048828125
    x -= quarters * -4.454455103442001e-06
    square = x * x
    sine = x * (1 + square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040 + square / 362880))))
    cosine = -1 / 720 + square * (1 / 40320 - square / 3628800)
    cosine = 1 + square * (-0.5 + square * (1 / 24 + square * cosine))
    quadrant = quarters.to(tl.int32) & 3
    swapped = (quadrant & 1) == 1
    turned_cosine = tl.where(swapped, sine, cosine)
    turned_cosine = tl.where((quadrant == 1) | (quadrant == 2), -turned_cosine, turned_cosine)
    turned_sine = tl.where(swapped, cosine, sine)
    return turned_cosine, tl.where(quadrant >= 2, -turned_sine, turned_sine)


def launch(x: Tensor, by: Tensor, frequencies: Tensor, interleaved: bool) -> Launch:
    """Prepare the turn of ``x`` [..., T, D], contiguous, and room for what it writes."""
    length, size = x.shape[-2:]
    rows, half = x.numel() // size, len(frequencies)
    padded = triton.next_power_of_2(max(1, half))
    block_rows = max(1, ELEMENTS // padded)
    arguments = {
        "x": x,
        "by": by,
        "frequencies": frequencies,
        "out": empty(x.shape, dtype=torch.float32, device=x.device),
        "rows": rows,
        "length": length,
        "size": size,
        "half": half,
        "padded_half": padded,
        "padded_rest": triton.next_power_of_2(max(1, size - 2 * half)),
        "interleaved": interleaved,
        "block_rows": block_rows,
    }
    return Launch(turn, (triton.cdiv(rows, block_rows),), arguments, OPTIONS)


@torch.no_grad()
def rope_shift(x: Tensor, by: Tensor, frequencies: Tensor, interleaved: bool) -> Tensor:
    """Compute what ``tokenarium.kernels.rope_shift`` documents, on a CUDA device."""
    prepared = launch(x.contiguous(), by.contiguous(), frequencies.contiguous(), interleaved)
    out: Tensor = prepared.arguments["out"]
    if out.numel():
        with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
            prepared.run()
    return out
