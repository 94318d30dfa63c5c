"""Moves what is kept of a cache together, each head's own choice, in the order of positions."""

from collections.abc import Sequence

from torch import Tensor

from kernels.compact_kv import reference

__all__ = ["compact_kv"]


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
    reference.compact_kv(buffer, starts, kept, starts if places is None else places)
