"""What a draft head over the target's states declares, for whatever reads it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.pretraining.draft_head.head import chain_mask

if TYPE_CHECKING:
    from tokenarium.backend.speculation.draft_state import DraftReader
    from tokenarium.backend.speculation.reader import TreeReader

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""From a layer of the head, queries [1, H, m, D] of the last m rows, and keys and values [1, G, n,
D] of all n rows, to what each query found [1, H, m, D]; it keeps the keys and values."""


class TargetHead(ABC):
    """What heads over a target's states have in common: its embeddings, and rows to unembed by.

    Args:
        loaded: the target.
        vocabulary: [N] the target's ids that it guesses among; None for all.
        rows: [N, d] of its unembedding; None for the target's own.
    """

    name: str = ""
    layers: int = 1
    """Layers that it runs."""
    state_layers: tuple[int, ...] = ()
    """After how many of the target's layers the residual is read, side by side; empty reads the
    final states, normed."""

    def __init__(
        self, loaded: LoadedModel, vocabulary: Tensor | None = None, rows: Tensor | None = None
    ) -> None:
        model: Any = loaded.model
        unembedding = model.get_output_embeddings().weight
        self.vocabulary, self.width = vocabulary, len(unembedding)
        own = unembedding if vocabulary is None else unembedding[vocabulary]
        self.rows = own if rows is None else rows
        self.embedding: Tensor = model.get_input_embeddings().weight

    @abstractmethod
    def reader(self, states: Callable[[int], Tensor], capacity: int) -> "DraftReader":
        """Return what reads a text with it.

        Args:
            states: from a place on, the target's states [n, s] of the text that it reads.
            capacity: most places at once; caches grow where it does not suffice.
        """

    def reader_beside(self, target: "TreeReader", capacity: int) -> "DraftReader":
        """Return what reads a text with it where the target's reader does too: see ``reader``.

        Args:
            target: reads all of the text but its last token, and keeps the states of it.
        """
        return self.reader(target.states, capacity)

    def embedded(self, ids: Sequence[int]) -> Tensor:
        """Return embeddings [n, d] of tokens."""
        tokens = torch.tensor(list(ids), device=self.embedding.device)
        return functional.embedding(tokens, self.embedding)

    def logits(self, outputs: Tensor) -> Tensor:
        """Return [n, V] of outputs [n, d]; ids that the head does not guess among are at -inf."""
        found = functional.linear(outputs.to(self.rows.dtype), self.rows)
        if self.vocabulary is None:
            return found
        whole = found.new_full((len(found), self.width), -torch.inf)
        whole[:, self.vocabulary] = found
        return whole


class StateHead(TargetHead):
    """A head of one or more layers whose row p pairs the state after token p with token p + 1."""

    def reader(self, states: Callable[[int], Tensor], capacity: int) -> "DraftReader":
        """Return a reader that keeps its keys and values: see ``HeadReader``."""
        from tokenarium.backend.speculation.head_reader import HeadReader

        return HeadReader(self, states, capacity)

    @abstractmethod
    def guess(
        self,
        hidden: Tensor,
        ids: Sequence[int],
        places: Sequence[int],
        attend: Attend,
        *,
        drafted: bool,
        last: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return what rows guess: what the next row of a chain reads, and what is unembedded.

        Args:
            hidden: [n, s] states of the target, or [n, d] what earlier rows guessed.
            ids: [n] the token that comes after each.
            places: [n] p of each row.
            attend: see ``Attend``.
            drafted: whether ``hidden`` was guessed.
            last: whether the last row alone is wanted.
        Returns: two times [n, d], or [1, d].
        """

    def unroll(self, hidden: Tensor, ids: Sequence[int], steps: int) -> list[Tensor]:
        """Guess at every place at once, without a cache, as the 1st to ``steps``-th of a chain.

        Args:
            hidden: [T, s] the target's states of a text but its last token.
            ids: [T] the tokens after each.
        Returns: by step s what is unembedded [T, d]: at p it has read target states up to p - s
            alone. Rows below s mean nothing.
        """
        length, found, feature = len(ids), list[Tensor](), hidden
        held: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        for step in range(steps):

            def attend(layer: int, q: Tensor, k: Tensor, v: Tensor, step: int = step) -> Tensor:
                keys, values = held.setdefault(layer, ([], []))
                keys.append(k)
                values.append(v)
                return functional.scaled_dot_product_attention(
                    q,
                    torch.cat(keys, 2),
                    torch.cat(values, 2),
                    attn_mask=chain_mask(length, step, q.device),
                    enable_gqa=True,
                )

            places = range(length)
            feature, out = self.guess(feature, ids, places, attend, drafted=step > 0, last=False)
            found.append(out)
            feature = functional.pad(feature, (0, 0, 1, 0))[:length]
        return found
