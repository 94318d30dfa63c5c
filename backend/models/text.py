"""From a text to token ids, and back to where in the text each token stands."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.cost.fits import past_context
from tokenarium.backend.models.chat import Rendered, render
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.offsets import close_gaps, keep_spaces, place
from tokenarium.backend.models.spelling import special_names, spell
from tokenarium.backend.runs.request import TextRequest


@dataclass(frozen=True)
class Tokens:
    """A text as a model reads it; T tokens."""

    ids: list[int]
    """T vocabulary numbers."""
    text: tuple[str, ...]
    """Each token decoded alone."""
    offsets: NDArray[np.int32]
    """[T, 2] [start, stop) in code points of the text; start = stop where ``special``."""
    special: NDArray[np.bool_]
    """[T] true where the tokenizer or the chat template added the token."""
    dropped: int
    """Tokens cut off because the text was longer than the limit."""
    notes: tuple[str, ...]
    """What was cut or read in another way than one might expect."""


def tokenise(loaded: LoadedModel, request: TextRequest, limit: int) -> Tokens:
    """Tokenise the text of a request as it asks: BOS, chat template, and what to do when too long.

    Text that spells a special token, such as ``<|bos|>``, is read as plain characters, and said.

    Args:
        loaded: the model; nobody else uses it meanwhile.
        request: the text and its choices.
        limit: most tokens the result may have.
    Raises: ValueError where the text gives no token, is over ``limit`` and not to be cut, is past
        the trained context of a model with learned positions, or asks for a BOS token or a chat
        template that the model does not have.
    """
    tokenizer = loaded.tokenizer
    rendered = render(tokenizer, request.text) if request.chat_template else None
    ids, spans, special = _encode(tokenizer, request.text, rendered)
    ids, spans, special = _with_bos(loaded, request.add_bos, ids, spans, special)
    if not ids:
        raise ValueError(
            f"the text gives no tokens with the tokenizer of {loaded.name}: type at least one "
            "letter or digit, or set add_bos=True"
        )
    kept, notes = _within(
        request, loaded, len(ids), limit, begins_with_bos=_is_bos(tokenizer, ids, special)
    )
    notes = _remarks(tokenizer, request.text, rendered, ids, special) + notes
    chosen = [ids[index] for index in kept]
    return Tokens(
        ids=chosen,
        text=decode_each(loaded, chosen),
        offsets=np.array([spans[index] for index in kept], np.int32).reshape(-1, 2),
        special=np.array([special[index] for index in kept], np.bool_),
        dropped=len(ids) - len(kept),
        notes=notes,
    )


def count_tokens(tokenizer: PreTrainedTokenizerFast, request: TextRequest) -> int:
    """Return how many tokens ``tokenise`` would make of a text that is not cut."""
    rendered = render(tokenizer, request.text) if request.chat_template else None
    ids, _, special = _encode(tokenizer, request.text, rendered)
    if request.add_bos is None:
        return len(ids)
    return len(ids) + int(request.add_bos) - int(_is_bos(tokenizer, ids, special))


def decode_each(loaded: LoadedModel, ids: Sequence[int]) -> tuple[str, ...]:
    """Return the text of each id decoded alone, spaces kept, half characters as ``<0xNN>``."""
    spelled = spell(loaded.tokenizer, ids)
    return tuple(spelled[key] for key in ids)


Encoded = tuple[list[int], list[tuple[int, int]], list[bool]]


def _encode(tokenizer: PreTrainedTokenizerFast, text: str, rendered: Rendered | None) -> Encoded:
    keep_spaces(tokenizer)
    encoding = tokenizer(
        rendered.text if rendered else text,
        add_special_tokens=rendered is None,
        split_special_tokens=rendered is None,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        truncation=False,
        padding=False,
        verbose=False,
    )
    ids = list(encoding["input_ids"])
    special = [bool(mark) for mark in encoding["special_tokens_mask"]]
    spans = close_gaps(rendered.text if rendered else text, encoding["offset_mapping"], special)
    if rendered:
        spans, special = rendered.into_the_message(spans)
    elif prefix := _added_prefix(tokenizer, ids, spans, special):
        special[prefix - 1] = True
    return ids, place(spans, special), special


def _added_prefix(
    tokenizer: PreTrainedTokenizerFast,
    ids: list[int],
    spans: list[tuple[int, int]],
    special: list[bool],
) -> int:
    """Return 1 + the index of a space the tokenizer put before the text as a token, or 0.

    SentencePiece vocabularies do so where no entry joins that space with the first character; it
    then shares its offsets with the token after it.
    """
    first = next((index for index, mark in enumerate(special) if not mark), len(ids))
    if first + 1 >= len(ids) or special[first + 1] or spans[first + 1][0] >= spans[first][1]:
        return 0
    return first + 1 if spell(tokenizer, [ids[first]])[ids[first]] == " " else 0


def _is_bos(tokenizer: PreTrainedTokenizerFast, ids: list[int], special: list[bool]) -> bool:
    return bool(ids) and special[0] and ids[0] == tokenizer.bos_token_id


def _with_bos(
    loaded: LoadedModel,
    add_bos: bool | None,
    ids: list[int],
    spans: list[tuple[int, int]],
    special: list[bool],
) -> Encoded:
    begins = _is_bos(loaded.tokenizer, ids, special)
    if add_bos is False and begins:
        return ids[1:], spans[1:], special[1:]
    if not add_bos or begins:
        return ids, spans, special
    if loaded.tokenizer.bos_token_id is None:
        raise ValueError(
            f"add_bos=True, but {loaded.name} has no BOS token: leave add_bos at the tokenizer's "
            "default, or set it to False"
        )
    return [loaded.tokenizer.bos_token_id, *ids], [(0, 0), *spans], [True, *special]


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
            f"the text is {length} tokens, the limit is {limit}: shorten it, or set "
            f"overflow=keep_start or overflow=keep_end to cut it{past}"
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
        f"and the text is {length}: shorten it, set overflow=keep_start or overflow=keep_end "
        "to cut it, or choose a model with rotary positions",
    )


def _remarks(
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    rendered: Rendered | None,
    ids: list[int],
    special: list[bool],
) -> tuple[str, ...]:
    notes = list(rendered.notes) if rendered else []
    typed = [name for name in special_names(tokenizer) if name in text]
    if typed:
        notes.append(
            f"the text spells {', '.join(typed)}: read as plain characters, not as the "
            "special token"
        )
    unknown = tokenizer.unk_token_id
    if unknown is not None and tokenizer.unk_token not in typed:
        missing = sum(key == unknown and not mark for key, mark in zip(ids, special, strict=True))
        if missing:
            notes.append(
                f"{missing} tokens are {tokenizer.unk_token}: the vocabulary cannot spell what "
                "stands there"
            )
    return tuple(notes)
