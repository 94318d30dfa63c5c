"""Changed texts one behind the other in one pass, each going on from a beginning of the text."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tokenarium.backend.attribution.rows import BATCH_TOKENS, Row
from tokenarium.backend.models.interface import asks_interface
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording

TRIED_TOKENS = 12
NEAR = 1e-3
"""Largest difference of states in the trial, as a share of the largest."""

_tried: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


class Beginning(Recorder):
    """Attends as the model does, and keeps the keys and values of each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, AttentionCall] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output as the model has it."""
        self.calls[call.layer] = replace(call, q=call.q[:, :, :0])
        return plain_attention(call)

    @property
    def is_banded(self) -> bool:
        """Whether every layer attends once, and each query to a band of keys."""
        calls = self.calls.values()
        once = len(self.order) == len(calls) > 0
        return once and all(call.mask is None and call.key_bias is None for call in calls)


@dataclass(frozen=True)
class Place:
    """Where a row stands in its pass, and what it sees."""

    row: Row
    start: int
    stop: int
    sees: Tensor
    """[n, shared + n] which keys each query sees, by cause alone."""
    zeroed: Tensor | None
    """[shared + n, 1] true where values are zero."""


class Joining(Recorder):
    """Attends row by row: each sees the text's beginning that it shares, and itself.

    Args:
        beginning: of the text.
        rows: of the pass, in order; they fill it.
        zeroes: whether the values of hidden tokens are zero, rather than they unseen by others.
    """

    def __init__(self, beginning: Beginning, rows: Sequence[Row], *, zeroes: bool = False) -> None:
        super().__init__()
        self._calls = beginning.calls
        ends = pairwise(accumulate((len(row.own) for row in rows), initial=0))
        self._places = [
            _placed(row, start, stop, zeroes=zeroes)
            for row, (start, stop) in zip(rows, ends, strict=True)
        ]
        self._masks: dict[tuple[int, int | None], Tensor | None] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of all rows, [1, N, H, Dv]."""
        known = self._calls[call.layer]
        _, heads, length, _ = call.q.shape
        found = call.q.new_empty(1, length, heads, call.v.shape[-1])
        for number, place in enumerate(self._places):
            here = slice(place.start, place.stop)
            k, v = call.k[:, :, here], call.v[:, :, here]
            if shared := place.row.shared:
                k = torch.cat((known.k[:, :, :shared], k), 2)
                v = torch.cat((known.v[:, :, :shared], v), 2)
            if place.zeroed is not None:
                v = v.masked_fill(place.zeroed, 0)
            own = replace(
                call, q=call.q[:, :, here], k=k, v=v, offset=shared, window=None,
                mask=self._mask(number, known.window, call.q.dtype),
            )  # fmt: skip
            found[:, here] = plain_attention(own)
        return found

    def _mask(self, number: int, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """Return [1, 1, n, shared + n] what is added to a row's logits; None where cause is all."""
        key = number, window
        if key not in self._masks:
            place = self._places[number]
            sees = place.sees
            if window is not None:
                sees = sees & (_distance(place.row) < window)
            plain = not place.row.shared and bool((sees == (_distance(place.row) >= 0)).all())
            mask = torch.zeros(sees.shape, dtype=dtype)
            mask.masked_fill_(~sees, torch.finfo(dtype).min)
            self._masks[key] = None if plain else mask[None, None]
        return self._masks[key]


def _placed(row: Row, start: int, stop: int, *, zeroes: bool) -> Place:
    distance = _distance(row)
    sees, zeroed = distance >= 0, None
    if row.hidden:
        hidden = torch.zeros(len(row.ids), dtype=torch.bool)
        hidden[list(row.hidden)] = True
        if zeroes:
            zeroed = hidden[:, None]
        else:
            sees = sees & (~hidden | (distance == 0))
    return Place(row, start, stop, sees, zeroed)


def _distance(row: Row) -> Tensor:
    """Return [n, shared + n] how many tokens each key stands before each query."""
    places = torch.arange(len(row.ids))
    return places[row.shared :, None] - places


def last_states(
    loaded: LoadedModel, beginning: Beginning, rows: Sequence[Row], *, zeroes: bool = False
) -> Tensor:
    """Return [N, D] the final-normed state after each row, all read in one pass.

    Layers that work token by token see one long text, so nothing is padded; in attention rows do
    not see each other.

    Args:
        loaded: a model on the CPU that ``joins``.
        beginning: of the text, read with the model.
        rows: what is read.
        zeroes: whether the values of hidden tokens are zero, rather than they unseen by others.
    """
    ids = [token for row in rows for token in row.own]
    places = [place for row in rows for place in range(row.shared, len(row.ids))]
    with recording(Joining(beginning, rows, zeroes=zeroes)):
        states: Tensor = loaded.body(
            input_ids=torch.tensor([ids]),
            position_ids=torch.tensor([places]),
            # Without a mask transformers would look for packed texts, and make one of N x N.
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            use_cache=False,
        ).last_hidden_state[0]
    ends = torch.tensor([len(row.own) for row in rows]).cumsum(0) - 1
    return states[ends]


def joins(loaded: LoadedModel, ids: Sequence[int]) -> bool:
    """Return whether texts may be read behind each other, found out once by reading some.

    Args:
        loaded: the model, one whose stored beginnings can be gone on from.
        ids: any text; three tokens of it at least are needed.
    """
    model = loaded.model
    if loaded.device.type != "cpu" or len(ids) < 3:  # elsewhere few large products are quicker
        return False
    if not asks_interface(model) and loaded.context < BATCH_TOKENS:
        return False  # its table of what a token sees ends before a pass does
    if model not in _tried:
        takes = inspect.signature(loaded.body.forward).parameters
        able = {"position_ids", "attention_mask"} <= takes.keys()
        _tried[model] = able and _try(loaded, list(ids[:TRIED_TOKENS]))
    return _tried[model]


def _try(loaded: LoadedModel, ids: list[int]) -> bool:
    def read(text: Sequence[int]) -> Tensor:
        given = torch.tensor([text])
        states: Tensor = loaded.body(input_ids=given, use_cache=False).last_hidden_state
        return states[0, -1]

    beginning, half = Beginning(), len(ids) // 2
    with recording(beginning):
        whole = read(ids)
    if not beginning.is_banded:
        return False
    less = (ids[0], *ids[2:])
    rows = [Row(0, less, 1), Row(1, tuple(ids), half), Row(2, less, 0)]
    found = last_states(loaded, beginning, rows)
    other = read(less)
    expected = torch.stack((other, whole, other))
    return bool((found - expected).abs().max() <= NEAR * expected.abs().max())
