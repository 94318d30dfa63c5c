"""From a text or messages to all token ids, each with its place, before any is cut."""

from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.chat import render
from tokenarium.backend.models.conversation import render_messages
from tokenarium.backend.models.isolation.backend import backend_of
from tokenarium.backend.models.offsets import Span, close_gaps, keep_spaces, place
from tokenarium.backend.models.refusal import error_words
from tokenarium.backend.models.spelling import spell
from tokenarium.backend.runs.events import Cancelled
from tokenarium.backend.runs.request import TextRequest


@dataclass(frozen=True)
class Encoded:
    """All tokens of a text, before any is cut."""

    ids: list[int]
    spans: list[Span]
    special: list[bool]
    source: str
    turn: list[int]
    roles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def without_first(self) -> "Encoded":
        """Return the same less its first token."""
        return replace(
            self,
            ids=self.ids[1:],
            spans=self.spans[1:],
            special=self.special[1:],
            turn=self.turn[1:],
        )

    def with_first(self, key: int) -> "Encoded":
        """Return the same after a token that was added."""
        return replace(
            self,
            ids=[key, *self.ids],
            spans=[(0, 0), *self.spans],
            special=[True, *self.special],
            turn=[-1, *self.turn],
        )


def read(tokenizer: PreTrainedTokenizerFast, request: TextRequest, name: str) -> Encoded:
    """Return all tokens of what a request gives, BOS as it asks.

    Args:
        tokenizer: a fast tokenizer.
        request: text or messages.
        name: of the model.
    Raises: ValueError where the model has no BOS token or no chat template that can be used.
    """
    try:
        return _read(tokenizer, request, name)
    except (ValueError, Cancelled, MemoryError):
        raise
    except Exception as error:
        if backend_of(tokenizer) is None:
            raise
        # A foreign model's tokenizer_config.json may say anything, and is believed until now.
        raise ValueError(
            f"the tokenizer of {name} fails on this text ({error_words(error)}): change the text, "
            "or choose another model"
        ) from error


def _read(tokenizer: PreTrainedTokenizerFast, request: TextRequest, name: str) -> Encoded:
    if request.messages:
        found = _of_messages(tokenizer, request)
    elif request.chat_template:
        rendered = render(tokenizer, request.text)
        ids, spans, _ = _encode(tokenizer, rendered.text, added=False, split=False)
        spans, special = rendered.into_the_message(spans)
        found = _plain(ids, place(spans, special), special, request.text, rendered.notes)
    else:
        ids, spans, special = _encode(
            tokenizer, request.text, added=True, split=not request.special_tokens
        )
        if prefix := _added_prefix(tokenizer, ids, spans, special):
            special[prefix - 1] = True
        found = _plain(ids, place(spans, special), special, request.text)
        if len(ids) > 1 and not special[1] and ids[:2] == [tokenizer.bos_token_id] * 2:
            found = found.without_first()  # the text gives it as such
    return _with_bos(tokenizer, request.add_bos, found, name)


def _of_messages(tokenizer: PreTrainedTokenizerFast, request: TextRequest) -> Encoded:
    written = render_messages(tokenizer, request.messages, special_tokens=request.special_tokens)
    ids, spans, _ = _encode(tokenizer, written.text, added=False, split=False)
    return Encoded(
        ids=ids,
        spans=spans,
        special=written.added(spans),
        source=written.text,
        turn=written.turns_of(spans).tolist(),
        roles=written.roles,
        notes=written.notes,
    )


def _plain(
    ids: list[int],
    spans: list[Span],
    special: list[bool],
    text: str,
    notes: tuple[str, ...] = (),
) -> Encoded:
    return Encoded(
        ids=ids, spans=spans, special=special, source=text, turn=[-1] * len(ids), notes=notes
    )


def _encode(
    tokenizer: PreTrainedTokenizerFast, text: str, *, added: bool, split: bool
) -> tuple[list[int], list[Span], list[bool]]:
    """Return ids, spans of ``text``, and which tokens the tokenizer added.

    Args:
        tokenizer: a fast tokenizer.
        text: what is read.
        added: whether the tokenizer adds its own, such as BOS.
        split: whether what spells a special token is read as plain characters.
    """
    keep_spaces(tokenizer)
    encoding = tokenizer(
        text,
        add_special_tokens=added,
        split_special_tokens=split,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        truncation=False,
        padding=False,
        verbose=False,
    )
    special = [bool(mark) for mark in encoding["special_tokens_mask"]]
    spans = close_gaps(text, encoding["offset_mapping"], special)
    return list(encoding["input_ids"]), spans, special


def is_bos(tokenizer: PreTrainedTokenizerFast, found: Encoded) -> bool:
    """Return whether the first token is a BOS that was added."""
    return bool(found.ids) and found.special[0] and found.ids[0] == tokenizer.bos_token_id


def _with_bos(
    tokenizer: PreTrainedTokenizerFast, add_bos: bool | None, found: Encoded, name: str
) -> Encoded:
    begins = is_bos(tokenizer, found)
    if add_bos is False and begins:
        return found.without_first()
    if not add_bos or begins:
        return found
    if tokenizer.bos_token_id is None:
        raise ValueError(
            f"add_bos=True, but {name} has no BOS token: leave add_bos at the tokenizer's "
            "default, or set it to False"
        )
    return found.with_first(tokenizer.bos_token_id)


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
