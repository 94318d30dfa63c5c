"""A draft head's logits by reading a whole text at once: nothing shared with its reader."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.draft_checks import DraftedChildren
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.draft_heads import find_head


class PlainHead:
    """Every guess of every place at once, as in training, without a cache.

    Args:
        loaded: the target; nobody else uses it meanwhile.
        reader: of the target.
        text: the ids of a run, prompt included; one pass serves all of it.
        draft_len: guesses of a chain at most.
    """

    def __init__(
        self, loaded: LoadedModel, reader: PlainReader, text: Sequence[int], draft_len: int
    ) -> None:
        self._loaded, self._reader, self._found = loaded, reader, find_head(loaded)
        self._text, self._draft_len = list(text), draft_len
        self._states: Tensor | None = None
        self._guesses: list[Tensor] = []  # by place in a chain, [T - 1, d]

    @torch.inference_mode()
    def __call__(self, place: DraftedChildren) -> Tensor:
        """Return the logits [V] of what comes at a place; -inf at ids that are never guessed.

        The guess in a chain's s-th place has read the target's states up to s places before, all
        of them of the text.
        """
        if self._states is None:
            self._states = self._reader.states(self._text)[:-1]
            self._guesses = self._unrolled(self._text, self._states, self._draft_len)
        last = len(place.before) - 2
        if place.before == tuple(self._text[: last + 2]):
            return self._logits(self._guesses[place.depth][last])
        known = self._states[: last + 1 - place.depth]
        hidden = functional.pad(known, (0, 0, 0, place.depth))
        return self._logits(self._unrolled(place.before, hidden, place.depth + 1)[-1][last])

    def _unrolled(self, ids: Sequence[int], hidden: Tensor, steps: int) -> list[Tensor]:
        embedding: Any = self._loaded.model.get_input_embeddings()
        tokens = torch.tensor([list(ids)[1:]], device=self._loaded.device)
        low = self._loaded.dtype in (torch.bfloat16, torch.float16)
        dtype = self._loaded.dtype if low else None
        with torch.autocast(self._loaded.device.type, dtype, enabled=low):
            embedded = functional.embedding(tokens, embedding.weight)
            guesses = self._found.head.unroll(hidden[None], embedded, steps)
        return [guess[0] for guess in guesses]

    def _logits(self, guess: Tensor) -> Tensor:
        unembedding: Any = self._loaded.model.get_output_embeddings()
        rows = unembedding.weight[self._found.vocabulary]
        logits = functional.linear(guess.to(rows.dtype), rows)
        whole = logits.new_full((len(unembedding.weight),), -torch.inf)
        whole[self._found.vocabulary] = logits
        return whole.float()
