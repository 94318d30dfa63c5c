"""An adapter over the states that the target's first layers leave."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.adapter_reader import AdapterReader
from tokenarium.backend.speculation.draft_heads import find_adapter
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.state_heads.state_head import TargetHead

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftReader


class AdapterHead(TargetHead):
    """The adapter that was trained for a model by this project's recipe.

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        self._loaded = loaded
        self.adapter, self.name = find_adapter(loaded)
        self.layers = self.adapter.shape.layers
        self.state_layers = (self.layers,)

    def reader(self, states: Callable[[int], Tensor], capacity: int) -> "DraftReader":  # noqa: ARG002
        """Return a reader with the first layers of its own: it needs nobody's states."""
        return AdapterReader(self, TreeReader(self._loaded, capacity, layers=self.layers), None)

    def reader_beside(self, target: TreeReader, capacity: int) -> "DraftReader":  # noqa: ARG002
        """Return a reader that shares the target's keys, values and states."""
        return AdapterReader(self, target, target.states)

    def project(self, residual: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what attention reads [n, d], and queries [H, n, D], keys and values [G, n, D].

        Args:
            residual: [n, hidden] after the adapter's layers.
            first: position of the first of them; the others follow.
        """
        at = torch.arange(first, first + len(residual), device=residual.device)
        with self.precision():
            x = self.adapter.start(residual)
            q, k, v = self.adapter.project(x[None], at)
        return x, q[0], k[0], v[0]

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return guesses of the last states [n, d] from x [n, d] and attention's [H, n, D]."""
        with self.precision():
            found: Tensor = self.adapter.finish(x[None], mixed[None])[0]
        return found.to(self.rows.dtype)

    def guess(self, residual: Tensor) -> Tensor:
        """Return guesses of the last states [T, d] of a whole text, without a cache."""
        x, q, k, v = self.project(residual, 0)
        mixed = functional.scaled_dot_product_attention(
            q[None], k[None], v[None], is_causal=True, enable_gqa=True
        )
        return self.finish(x, mixed[0])

    def precision(self) -> AbstractContextManager[Any]:
        """Norms are computed in float32, products in the model's format, as in training."""
        dtype = self.rows.dtype
        low = dtype in (torch.bfloat16, torch.float16)
        return torch.autocast(self.rows.device.type, dtype if low else None, enabled=low)
