"""One layer's inputs as the kernels take them, and room for what they write."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.triton.blocks import padded_size

LOG2_E = 1.4426950408889634

empty, zeros = torch.empty, torch.zeros
"""Where outputs come from: ``zeros`` where a kernel writes only what is not zero."""


@dataclass(frozen=True, eq=False)
class Layer(AttentionInput):
    """One layer's inputs, each head's vectors and each mask row in one piece."""

    target: int = field(kw_only=True)
    """The device's compute capability times ten."""

    @staticmethod
    def of(attention: AttentionInput, target: int) -> "Layer":
        """Return the inputs as the kernels take them: copied where that is needed."""
        q, mask = attention.q, attention.mask
        return Layer(
            q=rows_in_one_piece(q),
            k=rows_in_one_piece(attention.k.to(q.dtype)),
            v=rows_in_one_piece(attention.v.to(q.dtype)),
            scaling=attention.scaling,
            offset=attention.first,
            window=attention.window,
            softcap=attention.softcap,
            sinks=attention.sinks,
            mask=None if mask is None else mask.contiguous(),
            target=target,
        )

    @property
    def heads(self) -> int:
        """H: number of query heads."""
        return self.q.shape[0]

    @property
    def queries(self) -> int:
        """T: number of queries."""
        return self.query_count

    @property
    def keys(self) -> int:
        """S: number of keys."""
        return self.key_count

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
            "offset": self.first,
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

    def zeros_of_two(self, *shape: int) -> Tensor:
        """Return zeros [2, H, *shape], room for two statistics of the same shape."""
        return zeros((2, self.heads, *shape), dtype=torch.float32, device=self.q.device)


def rows_in_one_piece(tensor: Tensor) -> Tensor:
    """Return the tensor, copied unless its last dimension lies in one piece."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()
