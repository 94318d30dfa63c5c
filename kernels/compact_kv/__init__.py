"""Moves what is kept of a cache together, each head's own choice, in the order of positions."""

from collections.abc import Sequence

from torch import Tensor

from kernels.compact_kv import reference

__all__ = ["compact_kv"]


def compact_kv(
    buffer: Tensor, starts: Sequence[int], kept: Sequence[Tensor], target: Tensor | None = None
) -> None:
    """Move the kept rows of every head to the head's start, in place or into another buffer.

    Args:
        buffer: [N, ...] rows of all heads; head g's begin at starts[g].
        starts: G offsets into the buffer.
        kept: G ascending indices [n_g] int64, counted from the head's start.
        target: where the rows go, packed one head after another; None moves them in place, each
            head's to its own start.
    Raises:
        ValueError: if the numbers of heads differ.
    """
    if len(starts) != len(kept):
        raise ValueError(f"{len(starts)} starts do not fit {len(kept)} lists of kept rows")
    reference.compact_kv(buffer, starts, kept, target)
