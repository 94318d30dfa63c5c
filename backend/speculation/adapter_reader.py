"""A target's first layers and an adapter as its draft, whose states the target goes on from."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.speculation.reader import TreeReader

if TYPE_CHECKING:
    from tokenarium.backend.speculation.state_heads.adapter import AdapterHead


class AdapterReader:
    """Reads a text and a chain after it by the target's first layers, then by an adapter.

    The first layers' states of the root and of what was drafted are kept, so that ``verify`` runs
    the other layers alone (Liu et al., 2024, arXiv:2404.18911).

    Args:
        head: the adapter.
        model: reads by the first layers: the target's own reader, or one beside it.
        states: of the target's own reader, from a place on its states [n, hidden] of the text after
            the adapter's layers; None where ``model`` stands beside it and reads the text itself.
    """

    def __init__(
        self, head: "AdapterHead", model: TreeReader, states: Callable[[int], Tensor] | None
    ) -> None:
        self.layers = head.layers
        self.parents: list[int] = []
        self._head, self._model, self._states = head, model, states
        self._places = 0
        """Tokens of the text whose keys and values the adapter has."""
        self._chain: list[int] = []
        """The root and drafted tokens that were read since."""
        self._left: list[Tensor] = []
        """[1, hidden] that the first layers left of each of these."""
        self._cache: list[Tensor] = []

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, the root last, and return the logits after it [V]."""
        self.keep([])
        self._model.forget_after(0)
        text = self._text(ids[:-1])
        root = self._first_layers(ids[-1])
        return self._guessed(torch.cat([text, root]) if len(text) else root)

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read a drafted token that follows the last one; return the logits after it [1, V]."""
        assert list(parents) == [len(self.parents) - 1], "a chain, a token at a time"
        self.parents += parents
        return self._guessed(self._first_layers(ids[0]))[None]

    @torch.inference_mode()
    def verify(self, ids: Sequence[int]) -> Tensor:
        """Let the target read the root and what was drafted; return its logits after each [n, V].

        Args:
            ids: [n] tokens, one after another. Of those that were read here the first layers do not
                run again.
        """
        known = len(self._chain) if list(ids[: len(self._chain)]) == self._chain else 0
        states = self._left[:known]
        residual = torch.cat(states) if states else self._head.rows.new_zeros(0, 0)
        return self._model.read_on(ids, residual, self.layers)

    def keep(self, path: Sequence[int]) -> int:
        """Make the root and the first drafted tokens part of the text, and drop the others.

        Returns: how many of the path need not be read again, which is all of it.
        """
        if self._chain:
            kept = 1 + len(path)
            self._places += kept
            if self._states is None:
                self._model.keep(range(kept))
        self.parents, self._chain, self._left = [], [], []
        return len(path)

    def _text(self, ids: Sequence[int]) -> Tensor:
        """Return the residual [n, hidden] of tokens of the text that the adapter has not read."""
        if not ids:
            return self._head.rows.new_zeros(0, 0)
        if self._states is not None:
            return self._states(self._places)[: len(ids)]
        model = self._model
        if not model.length:
            return model.read_span(ids, None, self.layers)
        found = model.read_span(ids, range(-1, len(ids) - 1), self.layers)
        model.keep(range(len(ids)))
        return found

    def _first_layers(self, token: int) -> Tensor:
        found = self._model.read_span([token], [len(self._chain) - 1], self.layers)
        self._chain.append(token)
        self._left.append(found)
        return found

    def _guessed(self, residual: Tensor) -> Tensor:
        """Let the adapter read residuals [n, hidden], the newest last; return its logits [V]."""
        read = self._places + len(self._chain) - 1
        new_text = len(residual) - 1
        if new_text:
            self._places += new_text
        x, q, k, v = self._head.project(residual, read)
        keys, values = (self._room(place, new, read) for place, new in enumerate((k, v)))
        mixed = functional.scaled_dot_product_attention(
            q[None, :, -1:], keys[None], values[None], enable_gqa=True
        )
        return self._head.logits(self._head.finish(x[-1:], mixed[0]))[0]

    def _room(self, place: int, new: Tensor, read: int) -> Tensor:
        """Write keys or values [G, n, D] after ``read`` ones, and return all of them."""
        held = read + new.shape[1]
        if place == len(self._cache):
            self._cache.append(new.new_zeros(new.shape[0], max(64, held), new.shape[2]))
        if held > self._cache[place].shape[1]:
            self._cache[place] = functional.pad(self._cache[place], (0, 0, 0, held))
        self._cache[place][:, read:held] = new
        return self._cache[place][:, :held]
