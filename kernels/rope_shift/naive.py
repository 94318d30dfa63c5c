"""The same turn as a product of complex numbers in float64: what the tests compare with.

Angles alone are float32, because that is what models turn by: far from 0 it shows.
"""

import torch
from torch import Tensor


def rope_shift(x: Tensor, by: Tensor, frequencies: Tensor, *, interleaved: bool) -> Tensor:
    """Compute ``tokenarium.kernels.rope_shift`` from its definition, on the CPU."""
    x, by, frequencies = (given.detach().cpu() for given in (x, by, frequencies))
    angle = (by.float()[:, None] * frequencies.float()).double()
    half = len(frequencies)
    at = torch.arange(half)
    first, second = (2 * at, 2 * at + 1) if interleaved else (at, at + half)
    turn = torch.polar(torch.ones_like(angle), angle)
    x = x.double()
    turned = torch.complex(x[..., first], x[..., second]) * turn
    out = x.clone()
    out[..., first], out[..., second] = turned.real, turned.imag
    return out
