"""This project's draft head: one layer over the target's final state."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.draft_heads import find_head
from tokenarium.backend.speculation.state_heads.state_head import Attend, StateHead


class OwnHead(StateHead):
    """The head that was trained for a model by this project's recipe.

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        found = find_head(loaded)
        super().__init__(loaded, found.vocabulary)
        self.head, self.name = found.head, found.name

    def guess(
        self,
        hidden: Tensor,
        ids: Sequence[int],
        places: Sequence[int],
        attend: Attend,
        *,
        drafted: bool,  # noqa: ARG002 - guesses stand for states
        last: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return the guessed states, twice: they are read and unembedded alike."""
        head = self.head
        at = torch.tensor(list(places), device=self.rows.device)
        with self._precision():
            x = head.fc(head.inputs(hidden, self.embedded(ids)))[None]
            q, k, v = head.project(x, head.cos[at], head.sin[at])
            if last:
                x, q = x[:, -1:], q[:, :, -1:]
            found = head.finish(x, attend(0, q, k, v))[0].to(self.rows.dtype)
        return found, found

    def unroll(self, hidden: Tensor, ids: Sequence[int], steps: int) -> list[Tensor]:
        """Guess as in training: see ``DraftHead.unroll``."""
        with self._precision():
            guesses = self.head.unroll(hidden[None], self.embedded(ids)[None], steps)
        return [guess[0] for guess in guesses]

    def _precision(self) -> AbstractContextManager[Any]:
        """Norms are computed in float32, products in the model's format, as in training."""
        dtype = self.rows.dtype
        low = dtype in (torch.bfloat16, torch.float16)
        return torch.autocast(self.rows.device.type, dtype if low else None, enabled=low)
