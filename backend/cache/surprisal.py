"""How surprising tokens were, from the states before them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.trace.vocabulary import CHUNK_LOGITS, CHUNK_ROWS


def surprisal(loaded: LoadedModel, hidden: Tensor, ids: Sequence[int]) -> Tensor:
    """Return [n] nats, -ln of the probability that each state gives the token after it.

    Args:
        hidden: [n, D], after the final norm.
        ids: n tokens, each the one that followed.
    """
    targets = torch.tensor(ids, device=hidden.device, dtype=torch.long)
    vocabulary = int(loaded.model.config.get_text_config().vocab_size)
    rows = min(max(CHUNK_LOGITS // vocabulary, CHUNK_ROWS.start), CHUNK_ROWS.stop - 1)
    parts = [hidden.new_empty(0, dtype=torch.float32)]
    for start in range(0, len(ids), rows):
        chunk = slice(start, start + rows)
        parts.append(told(loaded.unembed(hidden[chunk]), targets[chunk]))
    return torch.cat(parts)


def told(logits: Tensor, targets: Tensor) -> Tensor:
    """Return [n] nats of targets [n] under logits [n, V]: one pass, where a trace wants more."""
    return F.cross_entropy(logits.float(), targets, reduction="none")
