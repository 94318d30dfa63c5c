"""Bytes that a decoding run takes beside its model, estimated from above."""

from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.decoding.next_token import ALTERNATIVES
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.models.loaded import LoadedModel

_PROBS_COPIES = 12
"""Float32 copies of [V] that one branch holds: logits, the distribution, and its stages."""
_MOST_BRANCHES = 32
"""That are open at once."""
_STAGES = 8


def bytes_of_decoding(request: DecodeRequest, loaded: LoadedModel, prompt: int) -> int:
    """Return an upper estimate of what a run takes beside the model.

    Args:
        request: what is asked.
        loaded: the model.
        prompt: tokens of the prompt.
    """
    sizes, most = Sizes.of(loaded.model.config), request.max_new_tokens
    work = on_device(sizes, loaded.dtype, Choices(1, 1, 0, lens=False), loaded.device)
    room = prompt + max(one.most_token_steps(most) for one in request.lanes)
    entry = 2 * sizes.kv_heads * sizes.head_size * loaded.dtype.itemsize
    open_ = _MOST_BRANCHES if any(one.branches for one in request.lanes) else 1
    records = len(request.lanes) * most * (_STAGES + 1) * ALTERNATIVES * 4
    probs = _PROBS_COPIES * 4 * open_ * sizes.vocabulary
    return work.total(prompt) + sizes.layers * room * entry + probs + 3 * records
