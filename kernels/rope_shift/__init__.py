"""Moves queries or keys to other positions by turning them on (RoPE)."""

from torch import Tensor, bfloat16, float16, float32

from tokenarium.kernels.device import why_not_triton
from tokenarium.kernels.rope_shift import reference
from tokenarium.kernels.rope_shift.reference import rotated

__all__ = ["rope_shift", "rope_shift_together", "rotated"]


def rope_shift(x: Tensor, by: Tensor, frequencies: Tensor, *, interleaved: bool = False) -> Tensor:
    """Turn vectors on by as many positions as each should move; the model is not read again.

    Rotary attention depends on distances alone, so that turning an encoded vector is the same as
    having encoded it elsewhere (RoPE: Su et al., 2021, arXiv:2104.09864).

    Args:
        x: [..., T, D], after position encoding.
        by: [T] positions that vector t moves on; negative moves it back.
        frequencies: [D_rot / 2] radians a position, one for each pair of entries; entries from
            D_rot on do not turn.
        interleaved: whether an entry's partner is its neighbour, not the one D_rot / 2 further on.
    Returns:
        The turned vectors [..., T, D] in float32.
    Raises:
        ValueError: if the shapes do not fit each other.
    """
    if by.shape != x.shape[-2:-1] or 2 * frequencies.shape[0] > x.shape[-1]:
        raise ValueError(
            f"x {tuple(x.shape)}, by {tuple(by.shape)} and frequencies {tuple(frequencies.shape)} "
            "do not fit: x is [..., T, D], by [T], and twice the frequencies at most D"
        )
    if why_not_triton(x.device) is None and x.dtype in (float32, float16, bfloat16):
        from tokenarium.kernels.rope_shift import triton  # not installed everywhere

        return triton.rope_shift(x, by, frequencies, interleaved)
    return reference.rope_shift(x, by, frequencies, interleaved)


def rope_shift_together(
    x: Tensor, by: float, frequencies: Tensor, *, interleaved: bool = False
) -> None:
    """Turn all vectors on by the same number of positions, in place; see ``rope_shift``.

    Args:
        x: [..., D] float32, after position encoding.
        by: positions that every vector moves on.
        frequencies: [D_rot / 2] radians a position.
        interleaved: whether an entry's partner is its neighbour, not the one D_rot / 2 further on.
    Raises:
        ValueError: if the shapes do not fit, or rounding in place would add up in half precision.
    """
    if 2 * frequencies.shape[0] > x.shape[-1] or x.dtype != float32:
        raise ValueError(
            f"x {tuple(x.shape)} {x.dtype} and frequencies {tuple(frequencies.shape)} do not fit: "
            "x is [..., D] in float32, and twice the frequencies at most D"
        )
    reference.rope_shift_together(x, by, frequencies, interleaved)
