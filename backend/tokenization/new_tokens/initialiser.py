"""What makes embedding rows of new tokens declares; everything else is derived from that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class NewTokens:
    """N new tokens, as the model knows what they replace."""

    pieces: tuple[tuple[int, ...], ...]
    """Old tokens that spell each new one."""
    lengths: tuple[tuple[int, ...], ...]
    """Bytes of each of these."""
    table_in: "Tensor"
    """[V, d] float32 embedding rows of the old tokens."""
    table_out: "Tensor"
    """[V, d] float32 rows of the output matrix; the same where the two are tied."""
    embed: Callable[[Sequence[Sequence[int]]], "Tensor"]
    """Returns [n, d] float32, a text embedding of each of n sequences of old tokens."""
    seed: int
    contexts: tuple[tuple[int, ...], ...]
    """Old tokens of the sentences in which each new one stands, its own pieces left out."""
    encode: Callable[[str], Sequence[int]]
    """Returns the old tokens of a text."""


@dataclass(frozen=True)
class Rows:
    """Rows of N new tokens."""

    table_in: "Tensor"
    """[N, d] float32."""
    table_out: "Tensor"
    """[N, d] float32."""
    near: tuple[tuple[int, ...], ...] = ()
    """Old tokens beside the pieces that each was made of; empty where none were."""


class Initialiser(Method):
    """One way to make the rows of tokens that a model was not trained with.

    A subclass overrides ``rows``. One that takes the first piece::

        class FirstPiece(Initialiser):
            slug = "first_piece"
            title = "First piece"
            explanation = "Takes the rows of the first old token."
            paper = "none; a baseline"

            def rows(self, new):
                first = [pieces[0] for pieces in new.pieces]
                return Rows(new.table_in[first], new.table_out[first])
    """

    registry: ClassVar[Registry[type["Initialiser"]]] = Registry(
        "initialiser", modules_of("tokenarium.backend.tokenization.new_tokens.initialisers")
    )

    paper: ClassVar[str]
    """Authors, year, arXiv id."""

    def rows(self, new: NewTokens) -> Rows:
        """Return the rows."""
        raise NotImplementedError
