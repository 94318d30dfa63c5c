"""How large a block each kernel works on, by number format and head size."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Blocks:
    """Queries and keys of a block, warps of a program, and loads under way ahead of their use.

    ``registers`` is the most a thread may have, so that more programs run at once on a
    multiprocessor; None leaves it to the compiler.
    """

    queries: int
    keys: int
    warps: int
    stages: int
    registers: int | None = None

    @property
    def options(self) -> dict[str, int]:
        """What Triton calls the last three, with products and sums fused as older versions do."""
        own = {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}
        return own if self.registers is None else own | {"maxnreg": self.registers}


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is not below ``number``."""
    return 1 << (number - 1).bit_length()


def padded_size(size: int) -> int:
    """Return the length of a head's vectors in a kernel: the matrix units take 16 or more."""
    return max(16, power_of_two(size))


def forward_blocks(
    dtype: torch.dtype, size: int, masked: bool, measured: bool, target: int
) -> Blocks:
    """Choose for ``forward``, for heads padded to ``size`` on a device of capability ``target``.

    These are the largest blocks found that spill no register; below capability 9.0, where some
    devices have only 99 KB of shared memory a block, they are smaller. Where rows are ``measured``
    too, smaller ones are faster: sums take registers, and more programs at once hide them.
    """
    if dtype == torch.float32:
        return Blocks(32, 32 if size <= 64 and not masked else 16, 8, 2)
    if size <= 64 and measured and not masked and target == 90:
        return Blocks(64, 64, 4, 3)
    if size <= 128:
        wide = not masked and (size <= 64 or target == 90)  # a block of the mask needs room too
        return Blocks(128, 64 if wide else 32, 8, 3)
    return Blocks(32 if masked else 64, 32, 8, 2)


def sums_blocks(dtype: torch.dtype, size: int, short: bool, plain: bool, target: int) -> Blocks:
    """Choose for ``sums``, for heads padded to ``size`` on a device of capability ``target``.

    ``short`` is where pieces of queries are: larger blocks would be half empty. What is not
    ``plain`` has a mask, a window or a cap, which take registers.
    """
    if dtype == torch.float32:
        return Blocks(16, 32, 8, 2) if size <= 64 else Blocks(16, 16, 8, 1)
    if size > 128 or not plain:
        return Blocks(32, 64, 4, 2)
    if size > 64:
        small = short or target < 90
        return Blocks(32, 64, 4, 3, 168) if small else Blocks(64, 64, 4, 3)
    return Blocks(32, 64, 4, 3, 128) if short else Blocks(64, 64, 4, 3, 168)


def picked_blocks(dtype: torch.dtype) -> Blocks:
    """Choose for ``picked``, where the keys are the wanted columns, at most 64."""
    if dtype == torch.float32:
        return Blocks(16, 64, 8, 1)
    return Blocks(32, 64, 4, 1)
