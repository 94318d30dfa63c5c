"""Moves what is kept of a cache together, each head's own choice, in the order of positions."""

from collections.abc import Sequence

from torch import Tensor

from tokenarium.kernels.compact_kv import reference
from tokenarium.kernels.device import why_not_triton

__all__ = ["close_gaps", "compact_kv"]


def compact_kv(
    buffer: Tensor,
    starts: Sequence[int],
    kept: Sequence[Tensor] | Tensor,
    places: Sequence[int] | None = None,
) -> None:
    """Move the kept rows of every head together, in place.

    A head's rows are all read before any is written, so that the rows may move up or down.

    Args:
        buffer: [N, ...] rows of all heads; head g's begin at starts[g].
        starts: G offsets into the buffer.
        kept: for each head ascending indices [n_g] int64, counted from the head's start; [G, n]
            where all heads keep equally many.
        places: G offsets where the kept rows go; None leaves them at their head's start. No head's
            place may reach into another head's rows.
    Raises:
        ValueError: if the numbers of heads differ.
    """
    if not len(starts) == len(kept) == len(starts if places is None else places):
        raise ValueError(
            f"{len(starts)} starts do not fit {len(kept)} lists of kept rows and their places"
        )
    compute = reference.compact_kv
    if why_not_triton(buffer.device) is None and buffer.is_contiguous():
        from tokenarium.kernels.compact_kv import triton  # not installed everywhere

        compute = triton.compact_kv
    compute(buffer, starts, kept, starts if places is None else places)


def close_gaps(
    buffer: Tensor, starts: Sequence[int], count: int, gone: Sequence[Sequence[int]], *, up: bool
) -> None:
    """Take few rows out of every head, moving no more than lies on one side of them.

    For a buffer in main memory; elsewhere ``compact_kv`` moves all heads at once.

    Args:
        buffer: [N, ...] contiguous rows of all heads; head g's begin at starts[g].
        starts: G offsets into the buffer.
        count: rows of each head.
        gone: for each head the same number d of ascending indices to take out, counted from its
            start.
        up: whether the rows before a gap move up, so that the head begins d rows later; else the
            rows after it move down.
    Raises:
        ValueError: if the buffer is elsewhere or not contiguous.
    """
    if buffer.device.type != "cpu" or not buffer.is_contiguous():
        raise ValueError(
            f"buffer is on {buffer.device} with strides {buffer.stride()}: rows move in place in "
            "contiguous main memory only, use compact_kv elsewhere"
        )
    reference.close_gaps(buffer, starts, count, gone, up)
