"""A cache that is spliced: what stays is taken over, what is new is read in its place.

Positional Integrity Encoding (He et al., 2024, arXiv:2407.03157): keys of the tokens after an edit
are turned on by as many positions as their tokens moved, their values stay. They still are those of
the text before the edit, so that everything after the first layer is an approximation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel


@dataclass(frozen=True)
class Piece:
    """Tokens of an edited prompt that stand together: kept ones, or new ones."""

    ids: tuple[int, ...]
    start: int
    """Position of the first in the edited prompt."""
    origin: int | None
    """Position of the first in the prompt before; None where they are new."""


def pieces(ids: Sequence[int], edits: Sequence[tuple[int, int, Sequence[int]]]) -> list[Piece]:
    """Return an edited prompt in pieces, none of them empty.

    Args:
        ids: T tokens before.
        edits: start, end and new tokens of each, from front to back.
    """
    found: list[Piece] = []
    read, place = 0, 0

    def add(own: Sequence[int], origin: int | None) -> None:
        nonlocal place
        if own:
            found.append(Piece(tuple(own), place, origin))
            place += len(own)

    for start, end, new in edits:
        add(ids[read:start], read)
        add(new, None)
        read = end
    add(ids[read:], read)
    return found


@dataclass(frozen=True)
class Spliced:
    """A cache made of an earlier one."""

    cache: DynamicCache
    computed: int
    """Tokens that the model read for it."""


class Splicer:
    """Makes the cache of an edited prompt out of that of the prompt before.

    Args:
        loaded: nobody else uses it meanwhile.
        check: called before every forward pass; raises to stop.
    Raises: ValueError if the model does not place its tokens by rotation in every layer.
    """

    def __init__(self, loaded: LoadedModel, check: Callable[[], None] = lambda: None) -> None:
        self._loaded, self._check = loaded, check
        self._rotary = capabilities.rotary(loaded)

    @torch.inference_mode()
    def read(self, ids: Sequence[int], cache: DynamicCache, start: int, rows: int = 0) -> Tensor:
        """Read tokens from position ``start`` on into a cache; return the last logits [rows, V]."""
        self._check()
        device = self._loaded.device
        out = self._loaded.body(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=torch.arange(start, start + len(ids), device=device)[None],
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = self._loaded.unembed(out.last_hidden_state[0, len(ids) - rows :])
        return logits.float()

    @torch.inference_mode()
    def splice(self, before: DynamicCache, parts: Sequence[Piece], *, turn: bool) -> Spliced:
        """Return the cache of the pieces, taken from that of the prompt before where they are kept.

        Args:
            before: keys and values of the prompt before; stays as it is.
            parts: of the edited prompt.
            turn: whether kept keys are turned to where their tokens now stand.
        """
        made, computed = DynamicCache(), 0
        for part in parts:
            if part.origin is None:
                self.read(part.ids, made, part.start)
                computed += len(part.ids)
            else:
                self._take(before, made, part, turn=turn)
        return Spliced(made, computed)

    def _take(self, before: DynamicCache, made: DynamicCache, part: Piece, *, turn: bool) -> None:
        assert part.origin is not None
        own = slice(part.origin, part.origin + len(part.ids))
        moved = part.start - part.origin
        for layer, (held_keys, held_values) in enumerate(_held(before)):
            keys, values = held_keys[:, :, own], held_values[:, :, own]
            rotary = self._rotary[layer]
            if turn and moved and rotary is not None:
                by = torch.full((len(part.ids),), moved, device=keys.device)
                keys = rotary.turned(keys, by).to(keys.dtype)
            made.update(keys, values, layer)


def copied(cache: DynamicCache, length: int) -> DynamicCache:
    """Return the first ``length`` entries of a cache as one of their own."""
    made = DynamicCache()
    for layer, (keys, values) in enumerate(_held(cache)):
        made.update(keys[:, :, :length], values[:, :, :length], layer)
    return made


def _held(cache: DynamicCache) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield keys and values [1, G, S, D] of every layer."""
    layers: Any = cache.layers
    for layer in layers:
        yield layer.keys, layer.values
