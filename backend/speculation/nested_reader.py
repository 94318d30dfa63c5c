"""A draft model read as several, one inside the other: only as deep as it is asked to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.speculation.draft_state import DraftReader
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.reader import TreeReader


def draft_reader(drafter: Drafter, model: TreeReader) -> DraftReader:
    """Return what a drafter reads its draft model with."""
    return NestedReader(model, drafter.exits(model.layers)) if drafter.nested else model


class NestedReader:
    """Reads a text and a chain after it by the first layers, and by more where that is asked for.

    Between two exits lie layers that have read a beginning of the text each, no deeper ones more of
    it than shallower ones. What is missing of it is read on from where the layers before left it,
    all tokens in one pass, so that no layer reads a token twice (Kavehzadeh et al., 2024,
    arXiv:2407.01955, call the parts nested sub-models).

    Args:
        model: reads for the draft; nothing was read with it yet.
        exits: after how many layers each it may be left, ascending; the last is all of them.
    """

    def __init__(self, model: TreeReader, exits: Sequence[int]) -> None:
        assert exits[-1] == model.layers
        self._model, self.exits = model, tuple(exits)
        self.parents: list[int] = []
        self._ids: list[int] = []
        self._text = 0
        """How many of the ids are no drafted tokens."""
        self._through = [0] * len(self.exits)
        """By exit, of how many of the ids its layers have read."""
        self._left: list[list[Tensor]] = [[] for _ in self.exits[:-1]]
        """By exit but the last, the residual [hidden] that it left of each of these."""
        self._at = 0

    @property
    def layers(self) -> int:
        """After how many layers the last logits were predicted."""
        return self.exits[self._at]

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text as deep as the first exit; return the logits after the last [V].

        Drafted tokens that were not kept are dropped.
        """
        self.keep([])
        self._ids += ids
        self._text = len(self._ids)
        return self._predicted(0)

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read a drafted token that follows the last one, as deep as the first exit.

        Returns: the logits after it [1, V].
        """
        assert list(parents) == [len(self.parents) - 1], "a chain, a token at a time"
        self.parents += parents
        self._ids += ids
        return self._predicted(0)[None]

    @torch.inference_mode()
    def deeper(self) -> Tensor:
        """Read on to the next exit, and return the logits [V] after the same token there."""
        return self._predicted(self._at + 1)

    def keep(self, path: Sequence[int]) -> int:
        """Make the first drafted tokens part of the text, and drop the others.

        Returns: how many need not be read again, which is all of the path.
        """
        self._text += len(path)
        del self._ids[self._text :]
        self._through = [min(read, self._text) for read in self._through]
        for states in self._left:
            del states[self._text :]
        self.parents = []
        return len(path)

    def _predicted(self, place: int) -> Tensor:
        self._at = place
        last = self._read_by(place)
        return self._model.loaded.unembed(self._model.normed(last[None]))[0]

    def _read_by(self, place: int) -> Tensor:
        """Let the layers before an exit read what they have not, and return the last residual."""
        done, model = self._through[place], self._model
        given = None
        if place:
            if self._through[place - 1] < len(self._ids):
                self._read_by(place - 1)
            before = torch.stack(self._left[place - 1][done:])
            given = self.exits[place - 1], before
        new = self._ids[done:]
        assert new, "an exit predicts once after a token"
        model.length = done
        chain = range(-1, len(new) - 1) if done else None
        residual = model.read_span(new, chain, self.exits[place], given)
        model.forget_after(0)
        self._through[place] = len(self._ids)
        if place < len(self._left):
            self._left[place] += residual.unbind()
        return residual[-1]
