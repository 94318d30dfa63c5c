"""A model that is looked into while it reads: states between layers, attention of new tokens."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall
from tokenarium.backend.observe.streams import stream
from tokenarium.backend.speculation.reader import TreeReader

Watched = Literal["layers", "attention", "gradients"]
"""States after every layer, attention weights of the last layer, or gradients by what is read."""
LAST = 64
"""Tokens of a pass, its newest, that are looked at: of a prompt no more is asked for."""


@dataclass(frozen=True)
class Seen:
    """What was seen while one token was read."""

    layers: Tensor | None = None
    """[L, hidden] after every layer, before the final norm."""
    attention: Tensor | None = None
    """[H, S] weights of the last layer on the tokens before and itself."""


NOTHING = Seen()


class WatchingReader(TreeReader):
    """A reader that keeps, of the tokens of the last pass, what strategies ask for.

    Args:
        watch: what is kept; nothing costs nothing.
        others: as of ``TreeReader``.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        capacity: int,
        check: Callable[[], None] = lambda: None,
        watch: Collection[Watched] = (),
        layers: int | None = None,
        keep_states: Sequence[int] | None = None,
    ) -> None:
        super().__init__(loaded, capacity, check, layers, keep_states=keep_states)
        self.watch = frozenset(watch)
        self.seen: list[Seen] = []
        """Of every token of the last pass."""
        self._rows: list[Tensor] = []

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the embeddings [n, hidden] of tokens, scaled as the model scales them."""
        table: Any = self.loaded.model.get_input_embeddings()
        found: Tensor = table(torch.tensor(list(ids), device=self.loaded.device))
        return found

    def vocabulary_keys(self) -> Tensor:
        """Return the rows [V, hidden] of the unembedding, one a token."""
        table: Any = self.loaded.model.get_output_embeddings()
        found: Tensor = table.weight
        return found

    def early_logits(self, states: Tensor, normed: bool) -> Tensor:
        """Return the logits [n, V] of states [n, hidden] after earlier layers.

        Args:
            states: before the final norm.
            normed: whether it is applied first.
        """
        norm = self.loaded.final_norm
        return self.loaded.unembed(norm(states) if normed and norm is not None else states)

    def slope(self, ids: Sequence[int], embeddings: Tensor, targets: int) -> tuple[float, Tensor]:
        """Return ln p of the last tokens of a text, and its gradient by embeddings before them.

        The text is read without the cache.

        Args:
            ids: [n] the whole text.
            embeddings: [k, hidden] of the tokens that stand before the targets.
            targets: how many tokens at the end of the text are predicted.
        """
        loaded = self.loaded
        capabilities.refuse_unless_embedded(loaded)
        self.check()
        end = len(ids) - targets
        with torch.inference_mode(False), torch.enable_grad():
            at = embeddings.detach().clone().requires_grad_(True)
            around = self.embed(ids).detach().clone()
            read = torch.cat([around[: end - len(at)], at, around[end : len(ids) - 1]])
            states = loaded.body(inputs_embeds=read[None], use_cache=False).last_hidden_state
            rows = torch.log_softmax(loaded.unembed(states[0, end - 1 :]).float(), -1)
            value = rows[torch.arange(targets), torch.tensor(ids[end:])].sum()
            (found,) = torch.autograd.grad(value, at)
        return float(value.detach()), found.detach()

    def attending(self, call: AttentionCall, keys: Tensor) -> None:
        """Note the attention weights of the last layer."""
        if "attention" in self.watch and call.layer == len(self.loaded.layers) - 1:
            self._rows = self._weights(call, keys)

    def _forward(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        embeddings: Tensor | None = None,
        stop: int | None = None,
        given: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        self._rows = []
        with self._layers() as states:
            hidden = super()._forward(ids, positions, embeddings, stop, given)
        count = min(len(ids), LAST)
        of_layers: list[Tensor | None] = [None] * count
        if states:
            of_layers = [*torch.stack(states, 1)]
        rows: list[Tensor | None] = [*self._rows] or [None] * count
        known = [Seen(*one) for one in zip(of_layers, rows, strict=True)]
        self.seen = [NOTHING] * (len(ids) - count) + known
        return hidden

    @contextmanager
    def _layers(self) -> Iterator[list[Tensor]]:
        """Yield what will be the states [n, hidden] after every layer."""
        states: list[Tensor] = []
        if "layers" not in self.watch:
            yield states
            return

        def note(layer: Any, _: Any, output: Any) -> None:
            states.append(stream(layer, output)[0, -LAST:])

        handles = [layer.register_forward_hook(note) for layer in self.loaded.layers]
        try:
            yield states
        finally:
            for handle in handles:
                handle.remove()

    def _weights(self, call: AttentionCall, keys: Tensor) -> list[Tensor]:
        """Return the weights [H, S] of each of the newest tokens on those that it sees.

        Args:
            call: with queries of the pass [1, H, n, D].
            keys: [G, held, D] of the text and all drafted tokens.
        """
        queries = call.q[0, :, -LAST:].float()
        heads, new, _ = queries.shape
        keys = keys.float().repeat_interleave(heads // keys.shape[0], 0)
        first = keys.shape[1] - new
        return [
            self._row(call, queries[:, place], keys, self._before(first + place))
            for place in range(new)
        ]

    def _before(self, slot: int) -> list[int]:
        """Return the slots that the token at one sees, itself included, in order."""
        if slot < self.length:
            return list(range(slot + 1))
        path, node = [], slot - self.length
        while node >= 0:
            path.append(self.length + node)
            node = self.parents[node]
        return [*range(self.length), *path[::-1]]

    def _row(self, call: AttentionCall, query: Tensor, keys: Tensor, slots: list[int]) -> Tensor:
        logits = torch.einsum("hd,hsd->hs", query, keys[:, slots]) * call.scaling
        if call.softcap is not None:
            logits = call.softcap * torch.tanh(logits / call.softcap)
        if call.key_bias is not None and call.key_bias.shape[-1] == keys.shape[1]:
            logits = logits + call.key_bias[:, slots]
        window = call.window or call.declared_window
        if window is not None:
            logits[:, :-window] = -float("inf")
        if call.sinks is None:
            return torch.softmax(logits, -1)
        whole = torch.cat([logits, call.sinks.float()[:, None]], -1)
        return torch.softmax(whole, -1)[:, :-1]
