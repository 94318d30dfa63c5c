"""Turns of a conversation as one text, and which turn every character belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.offsets import Span
from tokenarium.backend.models.spelling import special_names
from tokenarium.backend.models.template import ChatTemplateError, Turn, fill
from tokenarium.backend.runs.message import Message

_MARK = "\ue000{}\ue001"


@dataclass(frozen=True)
class Conversation:
    """N turns as the model's chat template writes them."""

    text: str
    contents: tuple[Span, ...]
    """[start, stop) of what each turn says; empty where the template rewrites it."""
    starts: tuple[int, ...]
    """Where each turn begins, its header included; also the answer's where it is begun. Empty
    where that cannot be known."""
    roles: tuple[str, ...]
    """Of each turn, the answer's included where it is begun."""
    notes: tuple[str, ...]

    def turns_of(self, spans: Sequence[Span]) -> NDArray[np.int32]:
        """Return the number of the turn of each span, by its last character; -1 for none."""
        last = np.array([stop - 1 for _, stop in spans], np.int64)
        found = np.searchsorted(np.array(self.starts, np.int64), last, side="right") - 1
        empty = np.array([stop <= start for start, stop in spans], np.bool_)
        return np.where(empty, -1, found).astype(np.int32)

    def added(self, spans: Sequence[Span]) -> list[bool]:
        """Return whether each span is the template's, with no character that a turn says."""
        return [
            not any(start < stop_ and stop > start_ for start_, stop_ in self.contents)
            for start, stop in spans
        ]


def render_messages(
    tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message], *, special_tokens: bool
) -> Conversation:
    """Write the turns out by the tokenizer's chat template.

    After a user's turn the assistant's is begun; an assistant's turn at the end is left open.

    Raises: ValueError where there is no template, where it cannot be used, or where a turn spells
        a special token that is not to be read as one.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "messages are given, but the tokenizer of this model has no chat template: give text "
            "instead, or choose a model that was trained to chat"
        )
    if not special_tokens:
        _refuse_special(tokenizer, messages)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text = fill(tokenizer, turns, answer=True)
    except ChatTemplateError as error:
        raise ValueError(
            f"messages are given, but the chat template of this model {error}: change the turns, "
            "or give text instead"
        ) from error
    begun = messages[-1].role != "assistant"
    roles = (*(m.role for m in messages), *(("assistant",) if begun else ()))
    marked = [{**turn, "content": _MARK.format(n)} for n, turn in enumerate(turns)]
    try:
        frame = fill(tokenizer, marked, answer=True)
        contents = _contents(text, frame, [turn["content"] for turn in turns])
    except ChatTemplateError:
        contents = ()
    if not contents:
        note = (
            "the chat template rewrites what the turns say: which token belongs to which turn "
            "cannot be known"
        )
        return Conversation(text, (), (), roles, (note,))
    return Conversation(text, contents, _starts(tokenizer, text, turns, contents), roles, ())


def _refuse_special(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> None:
    for name in special_names(tokenizer):
        for number, message in enumerate(messages):
            if name in message.content:
                raise ValueError(
                    f"messages.{number} spells {name} at character {message.content.index(name)}, "
                    "which could not be kept apart from the chat template's own tokens: remove it, "
                    "or set special_tokens=True"
                )


def _contents(text: str, frame: str, said: Sequence[str]) -> tuple[Span, ...]:
    """Return where each content stands in ``text``; empty where it is not there, trimmed at most.

    Args:
        text: the filled template.
        frame: the same, filled with marks in place of contents.
        said: the contents.
    """
    pieces, rest = [], frame
    for number in range(len(said)):
        piece, found, rest = rest.partition(_MARK.format(number))
        if not found:
            return ()
        pieces.append(piece)
    pieces.append(rest)
    spans, at = [], len(pieces[0])
    if not text.startswith(pieces[0]):
        return ()
    for content, piece in zip(said, pieces[1:], strict=True):
        for variant in (content, content.strip(), content.lstrip(), content.rstrip()):
            if text.startswith(variant + piece, at):
                break
        else:
            return ()
        spans.append((at, at + len(variant)))
        at += len(variant) + len(piece)
    return tuple(spans) if at == len(text) else ()


def _starts(
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    turns: Sequence[Turn],
    contents: Sequence[Span],
) -> tuple[int, ...]:
    """Return where each turn's header begins, from what fewer turns are written as."""
    starts = [_first(tokenizer, text, turns[0], contents[0][0])]
    begun = turns[-1]["role"] != "assistant"
    for number in range(1, len(turns) + begun):
        stop = contents[number][0] if number < len(turns) else len(text)
        try:
            before = fill(tokenizer, turns[:number], answer=False)
            at = _same(before, text)
        except ChatTemplateError:  # some templates want turns in pairs
            at = stop
        # Where fewer turns are written otherwise, the header is the earlier turn's.
        starts.append(at if contents[number - 1][1] <= at <= stop else stop)
    return tuple(starts)


def _first(tokenizer: PreTrainedTokenizerFast, text: str, turn: Turn, content: int) -> int:
    """Return where the first turn begins: after BOS and a system prompt that nobody gave."""
    bos = tokenizer.bos_token or ""
    # Some templates begin every turn with the token that is also named BOS.
    at = len(bos) if bos and text.startswith(bos) and text.count(bos) == 1 else 0
    if turn["role"] == "system":
        return min(at, content)
    other = {"role": "assistant" if turn["role"] == "user" else "user", "content": _MARK}
    try:
        same = _same(fill(tokenizer, [other], answer=False), text[:content])
    except ChatTemplateError:
        return min(at, content)
    for name in special_names(tokenizer):
        if text[:same].endswith(name):
            same -= len(name)
            break
    return min(max(at, same), content)


def _same(one: str, other: str) -> int:
    """Return how many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
