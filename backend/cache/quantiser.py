"""Codes of few bits: keys by channel over a group of tokens, values by token over some channels.

A number x of a group with least number z and step s, both float16, is round((x - z) / s), of 0 to
2^b - 1, and stands for z + s code: at most s / 2 from x. Keys have channels that are large in every
token, values do not (Liu et al., 2024, arXiv:2402.02750), so that keys are grouped by channel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BYTE = 8


def quantised(numbers: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor]:
    """Return codes and scales of numbers [n, m], ``group`` of a row sharing their least and step.

    Returns: codes [n, m] uint8 below 2^bits, and [n, ceil(m / group), 2] float16: least and step.
    Raises:
        ValueError: if a number is too large for float16.
    """
    rows, columns = numbers.shape
    padded = _whole_groups(numbers.float(), group)
    low, high = padded.aminmax(dim=2)
    least = _rounded(low, up=False)
    step = _rounded((high - least.float()) / (2**bits - 1), up=True)
    if not (least.isfinite().all() and step.isfinite().all()):
        raise ValueError(
            f"a key or value of {float(numbers.abs().max()):.3g} is beyond the range of float16, "
            "in which the least number of every group is kept: leave out kv_quant for this model"
        )
    # A group of equal numbers that float16 has exactly needs no step.
    divisor = step.float().masked_fill(step == 0, 1)[..., None]
    codes = ((padded - least.float()[..., None]) / divisor).round().clamp(0, 2**bits - 1)
    scales = torch.stack((least, step), -1).view(rows, -1, 2)
    return codes.flatten(1)[:, :columns].to(torch.uint8), scales


def in_bytes(codes: Tensor, bits: int) -> Tensor:
    """Return codes [n, m] of so many bits as [n, ceil(m bits / 8)] uint8."""
    each = _BYTE // bits
    filled = F.pad(codes, (0, -codes.shape[1] % each)).unflatten(1, (-1, each))
    found = torch.zeros_like(filled[..., 0])
    for place in range(each):
        found |= filled[..., place] << (bits * place)
    return found


def out_of_bytes(packed: Tensor, bits: int, columns: int) -> Tensor:
    """Return the codes [n, columns] that ``in_bytes`` packed."""
    parts = [(packed >> (bits * place)) & (2**bits - 1) for place in range(_BYTE // bits)]
    return torch.stack(parts, -1).flatten(1)[:, :columns]


def dequantised(codes: Tensor, scales: Tensor, group: int) -> Tensor:
    """Return the float32 numbers [n, m] that codes [n, m] with scales [n, m / group, 2] mean."""
    least, step = scales.float().unbind(-1)
    each = torch.arange(codes.shape[1], device=codes.device) // group
    found: Tensor = least[:, each] + step[:, each] * codes
    return found


def _whole_groups(numbers: Tensor, group: int) -> Tensor:
    """Return [n, ceil(m / group), group], the last column standing for those that are missing."""
    missing = -numbers.shape[1] % group
    if missing:
        numbers = torch.cat((numbers, numbers[:, -1:].expand(-1, missing)), 1)
    grouped: Tensor = numbers.unflatten(1, (-1, group))
    return grouped


def _rounded(numbers: Tensor, *, up: bool) -> Tensor:
    """Return numbers in float16, none of them on the wrong side of what it was."""
    near = numbers.half()
    wrong = near.float() < numbers if up else near.float() > numbers
    towards = torch.full_like(near, float("inf") if up else float("-inf"))
    return torch.where(wrong, torch.nextafter(near, towards), near)
