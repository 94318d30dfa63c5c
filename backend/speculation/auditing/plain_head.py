"""A draft head's logits by reading a whole text at once: nothing shared with its reader."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.draft_checks import DraftedChildren
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.state_heads.adapter import AdapterHead
from tokenarium.backend.speculation.state_heads.dflash import DFlashHead
from tokenarium.backend.speculation.state_heads.opening import open_head
from tokenarium.backend.speculation.state_heads.state_head import StateHead


def plain_head(
    kind: str, loaded: LoadedModel, reader: PlainReader, text: Sequence[int], draft_len: int
) -> Callable[[DraftedChildren], Tensor]:
    """Return from a place to the logits [V] of a model's head there.

    Args:
        kind: of the head, as the drafter declares.
        loaded: the target; nobody else uses it meanwhile.
        reader: of the target.
        text: the ids of a run, prompt included; one pass serves all of it.
        draft_len: guesses of a chain at most.
    """
    head = open_head(loaded, kind)
    if isinstance(head, DFlashHead):
        return PlainBlock(head, reader, text)
    if isinstance(head, AdapterHead):
        return PlainAdapter(head, reader, text)
    assert isinstance(head, StateHead)
    return PlainHead(head, reader, text, draft_len)


class PlainHead:
    """Every guess of every place at once, as in training, without a cache.

    Args:
        head: of the target.
        reader: of the target.
        text: the ids of a run, prompt included; one pass serves all of it.
        draft_len: guesses of a chain at most.
    """

    def __init__(
        self, head: StateHead, reader: PlainReader, text: Sequence[int], draft_len: int
    ) -> None:
        self._head, self._reader = head, reader
        self._text, self._draft_len = list(text), draft_len
        self._states: Tensor | None = None
        self._guesses: list[Tensor] = []  # by place in a chain, [T - 1, d]

    @torch.inference_mode()
    def __call__(self, place: DraftedChildren) -> Tensor:
        """Return the logits [V] of what comes at a place; -inf at ids that are never guessed.

        The guess in a chain's s-th place has read the target's states up to s places before, all
        of them of the text.
        """
        head = self._head
        if self._states is None:
            self._states = self._reader.residuals(self._text, head.state_layers)[:-1]
            self._guesses = head.unroll(self._states, self._text[1:], self._draft_len)
        last = len(place.before) - 2
        if place.before == tuple(self._text[: last + 2]):
            guesses = self._guesses[place.depth]
        else:
            known = self._states[: last + 1 - place.depth]
            hidden = functional.pad(known, (0, 0, 0, place.depth))
            guesses = head.unroll(hidden, place.before[1:], place.depth + 1)[-1]
        return head.logits(guesses[last : last + 1])[0].float()


class PlainAdapter:
    """An adapter over states of whole texts, without a cache; arguments as of ``PlainHead``."""

    def __init__(self, head: AdapterHead, reader: PlainReader, text: Sequence[int]) -> None:
        self._head, self._reader, self._text = head, reader, tuple(text)
        self._guesses: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, place: DraftedChildren) -> Tensor:
        """Return the logits [V] of what comes at a place."""
        head, count = self._head, len(place.before)
        if place.before != self._text[:count]:
            states = self._reader.residuals(place.before, head.state_layers)
            return head.logits(head.guess(states)[-1:])[0].float()
        if self._guesses is None:
            self._guesses = head.guess(self._reader.residuals(self._text, head.state_layers))
        return head.logits(self._guesses[count - 1 : count])[0].float()


class PlainBlock:
    """The block after a text, its keys and values computed anew; arguments as of ``PlainHead``."""

    def __init__(self, head: DFlashHead, reader: PlainReader, text: Sequence[int]) -> None:
        self._head, self._reader, self._text = head, reader, list(text)
        self._states: Tensor | None = None
        self._known: tuple[int, Tensor] | None = None  # of a text of this length

    @torch.inference_mode()
    def __call__(self, place: DraftedChildren) -> Tensor:
        """Return the logits [V] of what comes at a place, which depend on its depth alone."""
        head = self._head
        if self._states is None:
            self._states = self._reader.residuals(self._text, head.state_layers)
        last = len(place.before) - place.depth - 1  # of the text
        if self._known is None or self._known[0] != last:
            context = head.context(self._states[:last], range(last))
            self._known = last, head.fill(place.before[last], last, context)
        return self._known[1][place.depth].float()
