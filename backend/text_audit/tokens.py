"""The tokens of a prompt and of what was generated after it, by id or cut from text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.text_audit.request import AuditRequest


@dataclass(frozen=True)
class GivenTokens:
    """What was read and what was written, as ids."""

    prompt: tuple[int, ...]
    generated: tuple[int, ...]
    notes: tuple[str, ...]


def tokens_given(loaded: LoadedModel, request: AuditRequest, limit: int) -> GivenTokens:
    """Return the ids that a request is about.

    Raises: ValueError where an id is outside the vocabulary, the text cannot be cut into tokens
        that spell it, or both together are over the limit.
    """
    notes: tuple[str, ...] = loaded.notes
    if request.prompt_ids:
        prompt = request.prompt_ids
    else:
        found = tokenise(loaded, request, limit)
        prompt, notes = tuple(found.ids), found.notes
    entries = embedding_entries(loaded.model)
    for name in ("prompt_ids", "token_ids"):
        for at, key in enumerate(getattr(request, name)):
            if key >= entries:
                raise ValueError(
                    f"{name}[{at}]={key} is outside the vocabulary of {loaded.name}, which has "
                    f"{entries:,} entries: name the model that generated the text"
                )
    generated = request.token_ids or cut(loaded, prompt, request.continuation)
    if (length := len(prompt) + len(generated)) > limit:
        raise ValueError(
            f"prompt and generated text are {length} tokens together, the limit is {limit}: "
            f"give the first {max(0, limit - len(prompt))} generated tokens, or a shorter prompt"
        )
    return GivenTokens(prompt, generated, notes)


def cut(loaded: LoadedModel, before: Sequence[int], text: str) -> tuple[int, ...]:
    """Return the tokens that the tokenizer makes of a text which follows others.

    Raises: ValueError if they do not spell it, as where the tokenizer changes characters.
    """
    found = encoded(loaded, text)
    if spelled(loaded, before, found) != text:
        raise ValueError(
            f"continuation: the tokenizer of {loaded.name} spells it otherwise than it was given "
            "(it changes or drops characters): give token_ids in place of continuation"
        )
    return found


def encoded(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    """Return the tokens of a text alone, without any that the tokenizer adds."""
    ids: Any = loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return tuple(int(key) for key in ids)


def spelled(loaded: LoadedModel, before: Sequence[int], ids: Sequence[int]) -> str:
    """Return what ids read as after others; half characters are U+FFFD."""
    head, whole = (
        str(loaded.tokenizer.decode(list(part), clean_up_tokenization_spaces=False))
        for part in (before, (*before, *ids))
    )
    return whole[len(head) :] if whole.startswith(head) else whole
