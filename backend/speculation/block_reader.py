"""A draft head that guesses a whole block after the text in one pass."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.speculation.state_heads.dflash import DFlashHead


class BlockReader:
    """The keys and values that a block sees of the text's states; guesses depend on depth alone.

    Args:
        head: of the target.
        states: from a place on, the target's states [n, s] of the text that the head reads.
        capacity: most places at once; the cache grows where it does not suffice.
    """

    def __init__(self, head: DFlashHead, states: Callable[[int], Tensor], capacity: int) -> None:
        self.parents: list[int] = []
        self.layers = head.layers
        self._head, self._states, self._capacity = head, states, capacity
        self._places = 0  # of the text's states that were read
        self._tokens = 0  # of the text, the root included
        self._cache: list[list[Tensor]] = []  # by layer keys and values, [1, G, capacity, D] each
        self._block: Tensor | None = None  # [most, V] logits after the text
        self._depths: list[int] = []

    @property
    def most(self) -> int:
        """Tokens that one block guesses."""
        return self._head.most

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, the root last, and return the logits after it [V].

        Raises:
            ValueError: if the text has one token: no state comes before it.
        """
        self.keep([])
        self._tokens += len(ids)
        last = self._tokens - 1
        if not last:
            raise ValueError("a text of 1 token has no state to read: draft after 2 or more")
        if self._places < last:
            self._append(self._states(self._places)[: last - self._places])
        held = [(keys[:, :, :last], values[:, :, :last]) for keys, values in self._cache]
        self._block = self._head.fill(ids[-1], last, held)
        return self._block[0]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Return the logits [n, V] after drafted tokens, each after its parent; -1 is the text."""
        assert self._block is not None
        assert len(ids) == len(parents)
        new = []
        for parent in parents:
            new.append(0 if parent < 0 else self._depths[parent] + 1)
            self.parents.append(parent)
            self._depths.append(new[-1])
        return self._block[[depth + 1 for depth in new]]

    def keep(self, path: Sequence[int]) -> int:  # noqa: ARG002 - what a reader of a model is given
        """Drop all drafted tokens. Returns: 0, as the whole path is read again."""
        self.parents, self._depths = [], []
        return 0

    def _append(self, states: Tensor) -> None:
        count = len(states)
        held = self._places + count
        new = self._head.context(states, range(self._places, held))
        if not self._cache:
            self._cache = [[each[:, :, :0] for each in pair] for pair in new]
        for cache, pair in zip(self._cache, new, strict=True):
            for index, each in enumerate(pair):
                if held > cache[index].shape[2]:
                    more = max(self._capacity, 2 * held) - cache[index].shape[2]
                    cache[index] = functional.pad(cache[index], (0, 0, 0, more))
                cache[index][:, :, self._places : held] = each
        self._places = held
