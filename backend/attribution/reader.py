"""A model that reads many changed texts, and says what it expects after each."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tokenarium.backend.attribution.joined import Beginning, joins, last_states
from tokenarium.backend.attribution.rounded import Products
from tokenarium.backend.attribution.rows import Batch, Row, hiding_row, joined, packed, row_of
from tokenarium.backend.models.layer_kinds import state_kinds
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording
from tokenarium.backend.observe.fresh_rotary import rotary_switch


class Reader:
    """Reads texts that share a beginning with one text, whose keys and values are kept.

    Args:
        loaded: nobody else uses it meanwhile.
        ids: the text itself, T tokens; it is read as the model is loaded.
        report: called with (texts read, texts in all) for each pass; raises to stop.
        products: with which changed texts are read faster; None for as the model is loaded.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        ids: Sequence[int],
        report: Callable[[int, int], None],
        products: Products | None = None,
    ) -> None:
        self.loaded, self.ids, self._report = loaded, list(ids), report
        self._products = products
        config = loaded.model.config
        self.shares = not state_kinds(config) and rotary_switch(loaded.model) is None
        """Whether a stored beginning can be gone on from."""
        self.passes = 0
        """Texts that were read."""
        self.token_steps = 0
        """Tokens that were read, padding included."""
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._beginning = Beginning()
        self.logits: Tensor = self._read_whole()
        """[V] after the text itself."""
        banded = self.shares and self._beginning.is_banded
        self._joins = banded and joins(loaded, self.ids)

    def read(self, texts: Sequence[Sequence[int]], rounds: bool = True) -> Tensor:
        """Return the logits [N, V] after each text; none is empty.

        Args:
            texts: ids of each.
            rounds: whether products may be rounded, where that is faster.
        """
        rows = [row_of(number, ids, self.ids) for number, ids in enumerate(texts)]
        if self._joins:
            return self._read_joined(rows, rounds)
        found = self.logits.new_empty(len(texts), len(self.logits))
        done = 0
        with self._multiplying(rounds):
            for batch in packed(rows, self.shares):
                self._report(done, len(rows))
                found[[row.number for row in batch.rows]] = self._read_batch(batch)
                done += len(batch.rows)
        return found

    def read_hidden(
        self, hidden: Tensor, rounds: bool = True, hiding: "type[Hiding] | None" = None
    ) -> Tensor:
        """Return the logits [N, V] after the text where later tokens do not see some of its tokens.

        Positions stay as they are.

        Args:
            hidden: [N, T] true for the tokens that nobody else sees.
            rounds: whether products may be rounded, where that is faster.
            hiding: what is done to them in every layer; None for ``Hiding``.
        """
        if self._joins:
            zeroes = hiding is ZeroingValues
            rows = [
                hiding_row(number, self.ids, torch.where(row)[0].tolist(), 0 if zeroes else 1)
                for number, row in enumerate(hidden)
            ]
            return self._read_joined(rows, rounds, zeroes=zeroes)
        found: list[Tensor] = []
        length = len(self.ids)
        for part in hidden.split(max(1, 1536 // length)):
            self._report(sum(len(read) for read in found), len(hidden))
            tokens = torch.tensor([self.ids], device=self.loaded.device).expand(len(part), -1)
            with recording((hiding or Hiding)(part)), self._multiplying(rounds):
                found.append(self._logits(tokens, None, [length - 1] * len(part)))
            self._count(len(part), tokens.numel())
        return torch.cat(found)

    def _read_whole(self) -> Tensor:
        cache: Any = DynamicCache() if self.shares else None
        tokens = torch.tensor([self.ids], device=self.loaded.device)
        with recording(self._beginning):
            logits = self._logits(tokens, cache, [len(self.ids) - 1])[0]
        if cache is not None:
            self._layers = [(layer.keys, layer.values) for layer in cache.layers]
            self.shares = bool(self._layers)  # GPT-1 stores nothing
        self._count(1, len(self.ids))
        return logits

    def _read_joined(self, rows: Sequence[Row], rounds: bool, *, zeroes: bool = False) -> Tensor:
        found: list[Tensor] = []
        done = 0
        with self._multiplying(rounds):
            for batch in joined(rows):
                self._report(done, len(rows))
                states = last_states(self.loaded, self._beginning, batch, zeroes=zeroes)
                found.append(self.loaded.unembed(states).float())
                self._count(len(batch), sum(len(row.own) for row in batch))
                done += len(batch)
        return torch.cat(found)

    def _read_batch(self, batch: Batch) -> Tensor:
        """Rows are padded on the right, where causal attention does not see it."""
        shared, count = batch.shared, len(batch.rows)
        tokens = torch.zeros(count, batch.width, dtype=torch.long, device=self.loaded.device)
        for place, row in enumerate(batch.rows):
            tokens[place, : len(row.ids) - shared] = torch.tensor(row.ids[shared:])
        cache = self._cached(shared, count) if shared else None
        self._count(count, tokens.numel())
        return self._logits(tokens, cache, [len(row.ids) - shared - 1 for row in batch.rows])

    def _cached(self, shared: int, count: int) -> Any:
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._layers):
            first, second = (
                each[:, :, :shared].expand(count, -1, -1, -1) for each in (keys, values)
            )
            cache.update(first, second, layer)
        return cache

    def _logits(self, tokens: Tensor, cache: Any, last: list[int]) -> Tensor:
        given = {"use_cache": False} if cache is None else {"past_key_values": cache}
        states = self.loaded.body(input_ids=tokens, **given).last_hidden_state
        rows = torch.arange(len(last), device=states.device)
        return self.loaded.unembed(states[rows, torch.tensor(last, device=states.device)]).float()

    def _multiplying(self, rounds: bool) -> AbstractContextManager[None]:
        if rounds and self._products:
            return self._products.rounded()
        return nullcontext()

    def _count(self, texts: int, steps: int) -> None:
        self.passes += texts
        self.token_steps += steps


class Hiding(Recorder):
    """Attends as the model does, but nobody sees the keys that are hidden, except each itself."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self._hidden = hidden

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer without the hidden keys."""
        length = call.k.shape[2]
        place = torch.arange(length, device=call.q.device)
        distance = place[:, None] - place
        unseen = distance < 0
        if call.window is not None:
            unseen = unseen | (distance >= call.window)
        unseen = unseen | (self._hidden[:, None, None, :] & (distance != 0))
        mask = torch.zeros(unseen.shape, dtype=call.q.dtype, device=call.q.device)
        if call.mask is not None:
            mask = mask + call.mask
        mask = mask.masked_fill(unseen, torch.finfo(mask.dtype).min)
        if call.key_bias is not None:
            mask = mask.clamp(min=torch.finfo(mask.dtype).min / 2) + call.key_bias[None, :, None]
        return plain_attention(replace(call, mask=mask, window=None, key_bias=None))


class ZeroingValues(Hiding):
    """Attends as the model does, but the values of hidden tokens are zero."""

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer; the weights are as they were."""
        zeroed = call.v.masked_fill(self._hidden[:, None, :, None], 0)
        return plain_attention(replace(call, v=zeroed))
