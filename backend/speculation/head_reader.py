"""A draft head that reads the target's states of a text, and its own guesses after them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.draft_heads import FoundHead


class HeadReader:
    """The keys and values of one head layer: of the text, and of drafted tokens until ``keep``.

    Place p pairs the state after token p with token p + 1, and guesses the state after that. In
    the text it is the target's state, which is known only once the target has read the token, so
    nothing drafted is kept: accepted tokens are read again with the states that the target has of
    them (Li et al., 2024, arXiv:2401.15077).

    Args:
        found: the head.
        loaded: its target.
        states: from a place on, the target's final states [n, d] of the text.
        capacity: most places at once; the cache grows where it does not suffice.
    """

    layers = 1

    def __init__(
        self,
        found: FoundHead,
        loaded: LoadedModel,
        states: Callable[[int], Tensor],
        capacity: int,
    ) -> None:
        self.parents: list[int] = []
        self._head, self._vocabulary, self._states = found.head, found.vocabulary, states
        self._loaded, self._capacity = loaded, capacity
        embedding: Any = loaded.model.get_input_embeddings()
        unembedding: Any = loaded.model.get_output_embeddings()
        self._embedding, self._width = embedding.weight, len(unembedding.weight)
        self._rows = unembedding.weight[found.vocabulary]  # [N, d]
        self._tokens = 0  # of the text
        self._places = 0  # of the text
        self._cache: list[Tensor] = []  # keys and values, [G, capacity, D] each
        self._guesses: list[Tensor] = []  # [d] of the drafted tokens
        self._after = self._rows.new_zeros(self._rows.shape[1])  # the guess after the text

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, the root last, and return the logits after it [V].

        Raises:
            ValueError: if the text has one token: no state comes before it.
        """
        self.keep([])
        first = self._tokens
        self._tokens += len(ids)
        new = list(ids)[max(0, 1 - first) :]
        if not new:
            raise ValueError("a text of 1 token has no state to read: draft after 2 or more")
        hidden = self._states(self._places)[: len(new)]
        # Only the last place is guessed from: of the others, keys and values suffice.
        places = range(self._places, self._places + len(new))
        self._after = self._guess(hidden, new, places, None)[0]
        self._places += len(new)
        return self._logits(self._after[None])[0]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, each after a parent of an earlier call; -1 follows the text.

        Returns: the logits after each [n, V].
        """
        above, depths = [], []
        for parent in parents:
            above.append(self._after if parent < 0 else self._guesses[parent])
            self.parents.append(parent)
            depths.append(len(self._path(len(self.parents) - 1)) - 1)
        places = [self._places + depth for depth in depths]
        guesses = self._guess(torch.stack(above), ids, places, self._seen(len(ids)))
        self._guesses += guesses.unbind()
        return self._logits(guesses)

    def keep(self, path: Sequence[int]) -> int:  # noqa: ARG002 - what a reader of a model is given
        """Drop all drafted tokens. Returns: 0, as the whole path is read again."""
        self.parents, self._guesses = [], []
        return 0

    def _path(self, node: int) -> list[int]:
        path = [node]
        while (node := self.parents[node]) >= 0:
            path.append(node)
        return path

    def _seen(self, count: int) -> Tensor | None:
        """Return which places [count, held] the last drafted tokens see; None for all."""
        nodes = len(self.parents)
        if count == 1 and len(self._path(nodes - 1)) == nodes:
            return None
        seen = torch.zeros(count, self._places + nodes, dtype=torch.bool)
        seen[:, : self._places] = True
        for row, node in enumerate(range(nodes - count, nodes)):
            seen[row, [self._places + above for above in self._path(node)]] = True
        return seen.to(self._rows.device)

    def _guess(
        self, hidden: Tensor, ids: Sequence[int], places: Sequence[int], seen: Tensor | None
    ) -> Tensor:
        """Return what follows each place [n, d]; with nothing to see by, the last alone [1, d]."""
        head, device = self._head, self._rows.device
        tokens = torch.tensor(list(ids), device=device)
        at = torch.tensor(list(places), device=device)
        with self._precision():
            x = head.fc(head.inputs(hidden, functional.embedding(tokens, self._embedding)))[None]
            q, k, v = head.project(x, head.cos[at], head.sin[at])
            keys, values = self._room(torch.stack([k[0], v[0]]))
            if seen is None:
                x, q = x[:, -1:], q[:, :, -1:]
            mixed = functional.scaled_dot_product_attention(
                q, keys[None], values[None], attn_mask=seen, enable_gqa=True
            )
            found: Tensor = head.finish(x, mixed)[0]
        return found.to(self._rows.dtype)

    def _precision(self) -> AbstractContextManager[Any]:
        """Norms are computed in float32, products in the model's format, as in training."""
        dtype = self._rows.dtype
        low = dtype in (torch.bfloat16, torch.float16)
        return torch.autocast(self._rows.device.type, dtype if low else None, enabled=low)

    def _room(self, new: Tensor) -> list[Tensor]:
        """Write keys and values [2, G, n, D] after those held, and return all [G, S, D] of each."""
        count = new.shape[2]
        held = self._places + (len(self.parents) or count)
        if not self._cache:
            self._cache = [each.new_zeros(each.shape[0], 0, each.shape[2]) for each in new]
        for index, each in enumerate(new):
            if held > self._cache[index].shape[1]:
                more = max(self._capacity, 2 * held) - self._cache[index].shape[1]
                self._cache[index] = functional.pad(self._cache[index], (0, 0, 0, more))
            self._cache[index][:, held - count : held] = each
        return [each[:, :held] for each in self._cache]

    def _logits(self, guesses: Tensor) -> Tensor:
        """Return [n, V]; ids that the head does not guess among are at -inf."""
        found = functional.linear(guesses, self._rows)
        whole = found.new_full((len(guesses), self._width), -torch.inf)
        whole[:, self._vocabulary] = found
        return whole
