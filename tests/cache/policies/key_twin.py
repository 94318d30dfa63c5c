"""A twin over full matrices for policies that look at keys only."""

from collections.abc import Callable

from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.cache.policies.twin import Twin


class KeyTwin(Twin):
    """Scores [G, T] come from the keys [G, T, D] and which of them are held [G, T]."""

    def __init__(
        self, model: PreTrainedModel, budget: int, by_keys: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__(model, budget)
        self.score = lambda _, __, visible: by_keys(self._keys.double(), visible[:, -1])

    def _edit(self, module: nn.Module, weights: Tensor, q: Tensor, k: Tensor) -> Tensor:
        self._keys = k[:: len(k) // module.config.num_key_value_heads]
        return super()._edit(module, weights, q, k)
