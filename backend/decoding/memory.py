"""Bytes that a decoding run takes beside its model, estimated from above."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.decoding.next_token import ALTERNATIVES
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.small_model import SmallModel

_PROBS_COPIES = 12
"""Float32 copies of [V] that one branch holds: logits, the distribution, and its stages."""
_MOST_BRANCHES = 32
"""That are open at once."""
_STAGES = 8


@dataclass(frozen=True)
class Place:
    """What a model is, and where it computes."""

    config: PretrainedConfig
    dtype: torch.dtype
    device: torch.device

    @property
    def sizes(self) -> Sizes:
        """Sizes that memory depends on."""
        return Sizes.of(self.config)


def bytes_of_decoding(
    request: DecodeRequest, place: Place, prompt: int, beside: Mapping[str, Place]
) -> int:
    """Return an upper estimate of what a run takes beside the weights of its models.

    Args:
        request: what is asked.
        place: of the model.
        prompt: tokens of the prompt.
        beside: of the small models that strategies name, by name.
    """
    sizes, most = place.sizes, request.max_new_tokens
    work = on_device(sizes, place.dtype, Choices(1, 1, 0, lens=False), place.device)
    room = prompt + max(one.most_token_steps(most) for one in request.lanes)
    open_ = _MOST_BRANCHES if any(one.branches for one in request.lanes) else 1
    records = len(request.lanes) * most * (_STAGES + 1) * ALTERNATIVES * 4
    probs = _PROBS_COPIES * 4 * open_ * sizes.vocabulary
    own = work.total(prompt) + sizes.layers * room * _entry(place) + probs + 3 * records
    known = [one for one in request.small_models if not one.name or one.name in beside]
    if request.drafter is not None:
        most += request.tree_budget
        own += work.total(prompt) + sizes.layers * (prompt + most) * _entry(place)
    return own + sum(
        bytes_of_small(one, beside.get(one.name, place), prompt + most) for one in known
    )


def bytes_of_small(small: SmallModel, place: Place, tokens: int) -> int:
    """Return an upper estimate of what a small model takes beside its weights.

    Args:
        small: which it is.
        place: of the model that it is, or whose first layers it is.
        tokens: that it reads, the prompt's included.
    """
    sizes = place.sizes
    layers = small.layers(sizes.layers) or sizes.layers
    work = on_device(sizes, place.dtype, Choices(1, 1, 0, lens=False), place.device)
    probs = _PROBS_COPIES * 4 * sizes.vocabulary
    return work.total(tokens) + layers * tokens * _entry(place) + probs


def _entry(place: Place) -> int:
    """Return the bytes of a token's keys and values in one layer."""
    sizes = place.sizes
    return 2 * sizes.kv_heads * sizes.head_size * place.dtype.itemsize
