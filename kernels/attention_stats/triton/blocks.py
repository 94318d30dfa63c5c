"""How large a block each kernel works on, by number format and head size."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Blocks:
    """Queries and keys of a block, warps of a program, and loads under way ahead of their use."""

    queries: int
    keys: int
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, int]:
        """What Triton calls the last two, with products and sums fused as its older versions do."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is not below ``number``."""
    return 1 << (number - 1).bit_length()


def padded_size(size: int) -> int:
    """Return the length of a head's vectors in a kernel: the matrix units take 16 or more."""
    return max(16, power_of_two(size))


def forward_blocks(dtype: torch.dtype, size: int, masked: bool, target: int) -> Blocks:
    """Choose for ``forward``, for heads padded to ``size`` on a device of capability ``target``.

    These are the largest blocks found that spill no register; below capability 9.0, where some
    devices have only 99 KB of shared memory a block, they are smaller.
    """
    if dtype == torch.float32:
        return Blocks(32, 32 if size <= 64 and not masked else 16, 8, 2)
    if size <= 128:
        wide = not masked and (size <= 64 or target == 90)  # a block of the mask needs room too
        return Blocks(128, 64 if wide else 32, 8, 3)
    return Blocks(32 if masked else 64, 32, 8, 2)


def sums_blocks(dtype: torch.dtype, size: int) -> Blocks:
    """Choose for ``sums``, for heads padded to ``size``."""
    if dtype == torch.float32:
        return Blocks(16, 32 if size <= 64 else 16, 8, 1)
    return Blocks(64 if size <= 64 else 32, 128, 8, 1)


def picked_blocks(dtype: torch.dtype) -> Blocks:
    """Choose for ``picked``, where the keys are the wanted columns, at most 64."""
    if dtype == torch.float32:
        return Blocks(16, 64, 8, 1)
    return Blocks(32, 64, 4, 1)
