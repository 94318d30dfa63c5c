"""A cache for transformers that holds nothing itself: the recorder keeps and attends."""

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class _Passing(CacheLayerMixin):
    """Hands new keys and values through, and reports how many tokens were read."""

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to prepare."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Return what is new; what was before is in the layer's entries."""
        return key_states, value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the logical length, so that masks count tokens read, not entries kept."""
        return self.seen + query_length, 0

    def get_seq_length(self) -> int:
        """Return the tokens read, kept or not: positions go on from there."""
        return self.seen

    def get_max_length(self) -> int:
        """Return that there is no maximum."""
        return -1


class PassingCache(Cache):
    """What a model is given as its cache while a recorder keeps the real one."""

    def __init__(self, layers: int) -> None:
        self._passing = [_Passing() for _ in range(layers)]
        super().__init__(layers=list(self._passing))

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has read."""
        for layer in self._passing:
            layer.seen += tokens
