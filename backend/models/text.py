"""From a text to token ids, and back to where in the text each token stands."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.cost.fits import past_context
from tokenarium.backend.models.encoding import Encoded, is_bos, read
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.spelling import special_ids, special_names, spell
from tokenarium.backend.runs.request import TextRequest

CUT_IT = "set overflow (Text over the limit, under Options) to keep_start or keep_end to cut it"
"""How a text is cut, as a request and as a page names it."""


@dataclass(frozen=True)
class Tokens:
    """A text as a model reads it; T tokens."""

    ids: list[int]
    """T vocabulary numbers."""
    text: tuple[str, ...]
    """Each token decoded alone."""
    offsets: NDArray[np.int32]
    """[T, 2] [start, stop) in code points of ``source``; start = stop where nothing of it stands
    for the token."""
    special: NDArray[np.bool_]
    """[T] true where the tokenizer or the chat template added the token."""
    dropped: int
    """Tokens cut off because the text was longer than the limit."""
    notes: tuple[str, ...]
    """What was cut or read in another way than one might expect."""
    source: str
    """The text itself; for messages, what the chat template makes of them."""
    turn: NDArray[np.int32]
    """[T] number of the turn of each token, from 0; -1 where it belongs to none."""
    roles: tuple[str, ...]
    """Role of each turn, the answer's included where the template begins it; empty for a text."""
    control: NDArray[np.bool_]
    """[T] true where the id is a special token of the vocabulary, however it came here."""

    def turns(self) -> dict[str, Any]:
        """Return the quantities that say which turn each token belongs to, by name."""
        return {"turn": self.turn, "turn_role": self.roles}


def tokenise(loaded: LoadedModel, request: TextRequest, limit: int) -> Tokens:
    """Tokenise what a request gives, as it asks: messages, BOS, special tokens, and what to do
    when it is too long.

    Unless ``special_tokens``, text that spells a special token, such as ``<|bos|>``, is read as
    plain characters, and said.

    Args:
        loaded: the model; nobody else uses it meanwhile.
        request: the text or messages, and their choices.
        limit: most tokens the result may have.
    Raises: ValueError where the text gives no token, is over ``limit`` and not to be cut, is past
        the trained context of a model with learned positions, or asks for a BOS token or a chat
        template that the model does not have.
    """
    tokenizer = loaded.tokenizer
    found = read(tokenizer, request, loaded.name)
    if not found.ids:
        raise ValueError(
            f"the text gives no tokens with the tokenizer of {loaded.name}: type at least one "
            "letter or digit, or set add_bos=True"
        )
    kept, notes = _within(
        request, loaded, len(found.ids), limit, begins_with_bos=is_bos(tokenizer, found)
    )
    chosen = [found.ids[index] for index in kept]
    return Tokens(
        ids=chosen,
        text=decode_each(loaded, chosen),
        offsets=np.array([found.spans[index] for index in kept], np.int32).reshape(-1, 2),
        special=np.array([found.special[index] for index in kept], np.bool_),
        dropped=len(found.ids) - len(kept),
        notes=_remarks(tokenizer, request, found) + notes + loaded.notes,
        source=found.source,
        turn=np.array([found.turn[index] for index in kept], np.int32),
        roles=found.roles,
        control=np.isin(chosen, list(special_ids(tokenizer))),
    )


def count_tokens(tokenizer: PreTrainedTokenizerFast, request: TextRequest) -> int:
    """Return how many tokens ``tokenise`` would make of a text that is not cut."""
    return len(read(tokenizer, request, request.model).ids)


def digest_of_ids(tokenizer: PreTrainedTokenizerFast, request: TextRequest) -> str:
    """Return the SHA-256 of the ids that ``tokenise`` would make of a text that is not cut."""
    ids = np.array(read(tokenizer, request, request.model).ids, "<i8")
    return hashlib.sha256(ids.tobytes()).hexdigest()


def decode_each(loaded: LoadedModel, ids: Sequence[int]) -> tuple[str, ...]:
    """Return the text of each id decoded alone, spaces kept, half characters as ``<0xNN>``."""
    spelled = spell(loaded.tokenizer, ids)
    return tuple(spelled[key] for key in ids)


def _within(
    request: TextRequest, loaded: LoadedModel, length: int, limit: int, begins_with_bos: bool
) -> tuple[list[int], tuple[str, ...]]:
    """Return the indices of the tokens to keep, and what to say about the rest."""
    if length <= limit:
        return list(range(length)), _past_context(request, loaded, length)
    if request.overflow in ("refuse", "exceed"):
        past = ""
        if request.overflow == "refuse" and limit == loaded.context and loaded.reads_past_context:
            past = (
                f", or overflow=exceed to read past the {loaded.context} tokens this model was "
                "trained for"
            )
        raise ValueError(
            f"the text is {length} tokens, the limit is {limit}: shorten it, or {CUT_IT}{past}"
        )
    dropped = length - limit
    if request.overflow == "keep_start":
        return list(range(limit)), (
            f"the text is {length} tokens, the limit is {limit}: the last {dropped} were cut",
        )
    head = [0] if begins_with_bos else []
    kept = head + list(range(length - limit + len(head), length))
    after = " after BOS" if begins_with_bos else ""
    return kept, (
        f"the text is {length} tokens, the limit is {limit}: the first {dropped}{after} were cut",
    )


def _past_context(request: TextRequest, loaded: LoadedModel, length: int) -> tuple[str, ...]:
    if request.overflow != "exceed":
        return ()
    return past_context(
        loaded,
        length,
        f"overflow=exceed, but {loaded.name} has learned positions for {loaded.context} tokens "
        f"and the text is {length}: shorten it, {CUT_IT}, or "
        "choose a model with rotary positions",
    )


def _remarks(
    tokenizer: PreTrainedTokenizerFast, request: TextRequest, found: Encoded
) -> tuple[str, ...]:
    notes = list(found.notes)
    names = () if request.special_tokens else special_names(tokenizer)
    typed = [name for name in names if name in request.text]
    if typed:
        notes.append(
            f"the text spells {', '.join(typed)}: read as plain characters, not as the "
            "special token"
        )
    unknown = tokenizer.unk_token_id
    if unknown is not None and tokenizer.unk_token not in typed:
        pairs = zip(found.ids, found.special, strict=True)
        missing = sum(key == unknown and not mark for key, mark in pairs)
        if missing:
            notes.append(
                f"{missing} tokens are {tokenizer.unk_token}: the vocabulary cannot spell what "
                "stands there"
            )
    return tuple(notes)
