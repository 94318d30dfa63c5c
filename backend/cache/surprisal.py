"""How surprising tokens were, from the states before them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.trace.vocabulary import CHUNK_LOGITS, CHUNK_ROWS


class SurprisalTrack:
    """The surprisal of every token of a text that is read in turns."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self.values = torch.empty(0, device=loaded.device)
        """[seen] nats, -ln p of each token given those before it; NaN for the first."""
        self.last_logits = torch.empty(0, device=loaded.device)
        """[1, V] after the newest token; they predict the first of the next reading."""
        self.turns: list[int] = []
        """Where each turn begins: the prompt, and every later reading of several tokens."""

    def add(self, ids: Sequence[int], hidden: Tensor, turn: bool = True) -> None:
        """Add what was just read.

        Args:
            ids: n tokens.
            hidden: [n, D] their states after the final norm.
            turn: whether several tokens are a turn of their own, and no part of the one before.
        """
        seen = len(self.values)
        if turn and (not seen or len(ids) > 1):
            self.turns.append(seen)
        if seen:
            first = torch.tensor(ids[:1], device=hidden.device)
            found = _of_logits(self.last_logits, first)
        else:
            found = torch.full((1,), float("nan"), device=hidden.device)
        if len(ids) > 1:
            found = torch.cat((found, surprisal(self._loaded, hidden[:-1], ids[1:])))
        self.values = torch.cat((self.values, found))


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
        parts.append(_of_logits(loaded.unembed(hidden[chunk]), targets[chunk]))
    return torch.cat(parts)


def _of_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return [n] nats of targets [n] under logits [n, V]."""
    return F.cross_entropy(logits.float(), targets, reduction="none")
