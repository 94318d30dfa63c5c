"""A cache for transformers that holds nothing itself: the recorder keeps and attends."""

import copy
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)

from tokenarium.backend.cache.layer_view import storage_bytes
from tokenarium.backend.models.interface import asks_interface


class _Passing(CacheLayerMixin):
    """Hands new keys and values through, and reports how many tokens were read."""

    is_sliding = False
    whole = False
    """Whether zeros stand for those before, as a model needs that masks its logits itself."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to prepare."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Return what is new; what was before is in the layer's entries."""
        if not self.whole or not self.seen:
            return key_states, value_states
        before = (0, 0, self.seen, 0)
        return F.pad(key_states, before), F.pad(value_states, before)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the logical length, so that masks count tokens read, not entries kept."""
        return self.seen + query_length, 0

    def get_seq_length(self) -> int:
        """Return the tokens read, kept or not: positions go on from there."""
        return self.seen

    def get_max_length(self) -> int:
        """Return that there is no maximum."""
        return -1


class _PassingWithState(LinearAttentionLayer, _Passing):  # type: ignore[override]
    """A layer that attends and keeps a state besides: Falcon-H1, Zamba 2."""

    is_compileable = False
    """Of a cache that is, transformers asks for a mask of one entry per key."""

    def __init__(self, number_of_states: int = 1) -> None:
        _Passing.__init__(self)
        LinearAttentionLayer.__init__(self, number_of_states)

    def lazy_initialization(self, *given: Any, **named: Any) -> None:
        """Prepare the state; there is nothing to prepare for keys and values."""
        if len(given) < 2:
            LinearAttentionLayer.lazy_initialization(self, *given, **named)

    def reset(self) -> None:
        """Forget the state."""
        LinearAttentionLayer.reset(self)


class PassingCache(Cache):
    """What a model is given as its cache while a recorder keeps the real one.

    A layer that sums the text up in a state (linear attention, Mamba, convolution) keeps its own.
    """

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        config = model.config
        made = [_passing(own) for own in DynamicCache(config=config).layers[:layers]]
        made += [_Passing() for _ in range(layers - len(made))]
        self._passing = [layer for layer in made if isinstance(layer, _Passing)]
        for layer in self._passing:
            layer.whole = not asks_interface(model)
        self._states = [one for one in made if isinstance(one, LinearAttentionCacheLayerMixin)]
        super().__init__(layers=made)

    @property
    def has_states(self) -> bool:
        """Whether some layer keeps a state, which cannot go back a token."""
        return bool(self._states)

    @property
    def state_bytes(self) -> int:
        """Bytes of the states as they are now."""
        return storage_bytes([list(vars(layer).values()) for layer in self._states])

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has read."""
        for layer in self._passing:
            layer.seen += tokens

    def states(self) -> list[dict[str, Any]]:
        """Return a copy of the states as they are now."""
        return [
            {name: copy.deepcopy(value) for name, value in vars(layer).items() if name != "seen"}
            for layer in self._states
        ]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Put states back that ``states`` returned."""
        for layer, kept in zip(self._states, states, strict=True):
            vars(layer).update(copy.deepcopy(kept))


def _passing(own: Any) -> Any:
    """Return what stands in for a layer of transformers' own cache."""
    if not isinstance(own, LinearAttentionCacheLayerMixin):
        return _Passing()
    return _PassingWithState(own.number_of_states) if isinstance(own, CacheLayerMixin) else own
