"""Turning in PyTorch; a whole tensor of angles is small beside the keys of all heads."""

import torch
from torch import Tensor


def rope_shift(x: Tensor, by: Tensor, frequencies: Tensor, interleaved: bool) -> Tensor:
    """Compute what ``tokenarium.kernels.rope_shift`` documents."""
    angle = by.to(torch.float32)[:, None] * frequencies.float()
    return rotated(x, angle.cos(), angle.sin(), interleaved)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor, interleaved: bool) -> Tensor:
    """Rotate, and scale where cosine and sine are means, the pairs of every vector.

    Args:
        x: [..., D].
        cosine: [..., D_rot / 2], broadcast to x; entries from D_rot on stay as they are.
        sine: [..., D_rot / 2].
        interleaved: whether an entry's partner is its neighbour, not the one D_rot / 2 further on.
    Returns:
        [..., D] float32.
    """
    half = cosine.shape[-1]
    turning, still = x.float().split((2 * half, x.shape[-1] - 2 * half), -1)
    if interleaved:
        a, b = turning.unflatten(-1, (half, 2)).unbind(-1)
        pairs = torch.stack((a * cosine - b * sine, b * cosine + a * sine), -1)
        return torch.cat((pairs.flatten(-2), still), -1)
    a, b = turning.split(half, -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine, still), -1)


def rope_shift_together(x: Tensor, by: float, frequencies: Tensor, interleaved: bool) -> None:
    """Compute what ``tokenarium.kernels.rope_shift.rope_shift_together`` documents."""
    angle = frequencies.float() * by
    cosine, sine = angle.cos(), angle.sin()
    turning = x[..., : 2 * len(frequencies)]
    a, b = (turning[..., i::2] for i in (0, 1)) if interleaved else turning.chunk(2, -1)
    turned = torch.addcmul(a * cosine, b, sine, value=-1)
    b.mul_(cosine).addcmul_(a, sine)
    a.copy_(turned)
