"""Weights of a head in eight bits: half the file, for a hundredth of a weight's spread."""

from collections.abc import Mapping

import torch

GROUP = 64
"""Columns of one row that share a scale, at most."""
SCALE = ".scale"
"""What the name of a matrix's scales ends in, beside the matrix's own."""
TOP = 127


def in_eight_bits(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return every matrix [R, C] as int8 with its scales [R, G] in bfloat16, the rest as it is.

    A row is cut into G equal groups of at most 64 columns; a group's largest value becomes 127. A
    weight is off by half a scale at most (and by the rounding of 127 scales to bfloat16).
    """
    found = {}
    for name, weights in tensors.items():
        if weights.ndim != 2:
            found[name] = weights
            continue
        grouped = weights.float().unflatten(1, (-1, _group(weights.shape[1])))
        scale = (grouped.abs().amax(-1) / TOP).clamp(min=1e-30).bfloat16()
        whole = (grouped / scale.float()[..., None]).round().clamp(-TOP, TOP)
        found[name] = whole.to(torch.int8).flatten(1)
        found[name + SCALE] = scale
    return found


def restored(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in float32, of a file with eight bits or of one with sixteen."""
    found = {}
    for name, weights in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(name + SCALE)
        if scale is None:
            found[name] = weights.float()
        else:
            grouped = weights.float().unflatten(1, (scale.shape[1], -1))
            found[name] = (grouped * scale.float()[..., None]).flatten(1)
    return found


def _group(columns: int) -> int:
    return next(size for size in range(min(GROUP, columns), 0, -1) if columns % size == 0)
