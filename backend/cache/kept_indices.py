"""Which entries of each head stay, as indices; costing nothing where all but one do."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor


class AllBut(Sequence[Tensor]):
    """Indices to keep, G lists: all but one entry of each head; made only where they are read."""

    def __init__(self, gone: Tensor, count: int) -> None:
        """Leave out ``gone`` [G, 1] of the entries 0 to ``count`` of each head."""
        self.gone, self.size = gone, count

    def __len__(self) -> int:
        return len(self.gone)

    @overload
    def __getitem__(self, head: int) -> Tensor: ...
    @overload
    def __getitem__(self, head: slice) -> list[Tensor]: ...
    def __getitem__(self, head: int | slice) -> Tensor | list[Tensor]:
        if isinstance(head, slice):
            return [self[g] for g in range(*head.indices(len(self)))]
        ahead = torch.arange(self.size - 1, device=self.gone.device)
        return ahead + (ahead >= self.gone[head])


def repeated(kept: Sequence[Tensor], times: int) -> Sequence[Tensor]:
    """Return the choice of a layer's heads for as many layers."""
    if isinstance(kept, AllBut):
        return AllBut(kept.gone.repeat(times, 1), kept.size)
    return [*kept] * times
