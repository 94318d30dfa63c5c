"""One layer's inputs as the kernels take them, and room for what they write."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.triton.blocks import padded_size

LOG2_E = 1.4426950408889634

empty, zeros = torch.empty, torch.zeros
"""Where outputs come from: ``zeros`` where a kernel writes only what is not zero."""


@dataclass(frozen=True)
class Layer:
    """Inputs of ``attention_stats``, each head's vectors and each mask row in one piece.

    ``target`` is the device's compute capability times ten.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    scaling: float
    offset: int
    window: int | None
    softcap: float | None
    sinks: Tensor | None
    mask: Tensor | None
    target: int

    @property
    def heads(self) -> int:
        """Number of query heads."""
        return self.q.shape[0]

    @property
    def queries(self) -> int:
        """Number of queries."""
        return self.q.shape[1]

    @property
    def keys(self) -> int:
        """Number of keys."""
        return self.k.shape[1]

    @property
    def padded(self) -> int:
        """Length of a head's vectors in a kernel."""
        return padded_size(self.q.shape[2])

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that every kernel takes."""
        per_head = self.mask is not None and self.mask.shape[0] > 1
        factor, cap = self.scaling * LOG2_E, None
        if self.softcap is not None:
            factor, cap = 2 * factor / self.softcap, self.softcap * LOG2_E
        return {
            "q": self.q,
            "k": self.k,
            "mask": self.mask,
            "q_head": self.q.stride(0),
            "q_row": self.q.stride(1),
            "k_head": self.k.stride(0),
            "k_row": self.k.stride(1),
            "mask_head": self.queries * self.keys if per_head else 0,
            "queries": self.queries,
            "keys": self.keys,
            "offset": self.offset,
            "window": self.window,
            "per_group": self.heads // self.k.shape[0],
            "factor": factor,
            "cap": cap,
            "size": self.q.shape[2],
            "padded": self.padded,
            # The interpreter multiplies the raw bits of bfloat16; it alone runs on a CPU.
            "upcast": self.q.device.type == "cpu",
        }

    def empty(self, *shape: int) -> Tensor:
        """Return room [H, *shape] for statistics that a kernel writes in full."""
        return empty((self.heads, *shape), dtype=torch.float32, device=self.q.device)

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros [H, *shape] for statistics that a kernel writes where they are not zero."""
        return zeros((self.heads, *shape), dtype=torch.float32, device=self.q.device)


def rows_in_one_piece(tensor: Tensor) -> Tensor:
    """Return the tensor, copied unless its last dimension lies in one piece."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
