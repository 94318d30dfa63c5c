"""A model's chat template, filled within a limit of time: what it does wrong is said in words."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.isolation.backend import IsolatedBackend, backend_of
from tokenarium.backend.models.isolation.process import TokenizerError

LONGEST_S = 2.0
"""A template that has not ended by then never will: the longest real ones take milliseconds."""
MOST_CHARACTERS = 4_000_000
_COMPILED = "<template>"  # what Jinja calls the file of a compiled template

Turn = dict[str, str]
"""``role`` and ``content``."""


class ChatTemplateError(ValueError):
    """The chat template of a model cannot be used; the message says why."""


def fill(
    tokenizer: PreTrainedTokenizerFast, turns: Sequence[Turn], *, answer: bool, **variables: Any
) -> str:
    """Return the turns as the tokenizer's chat template writes them.

    transformers runs a template in a sandbox, which bounds what it reaches but not how long it
    takes: here it is stopped after ``LONGEST_S``, and that of a foreign model is filled in a
    process of its own.

    Args:
        tokenizer: with a chat template.
        turns: role and content of each.
        answer: whether the assistant's turn is prepared at the end: begun after another's turn,
            left open where the last one is the assistant's.
        variables: what else the template may know.

    Raises: ChatTemplateError where it fails, does not end, or writes without end;
        TokenizerStopped where its process had to be ended.
    """
    goes_on = answer and turns[-1]["role"] == "assistant"
    options = variables | {
        "add_generation_prompt": answer and not goes_on,
        "continue_final_message": goes_on,
    }
    if backend := backend_of(tokenizer):
        return _within(_filled_outside(tokenizer, backend, turns, options))
    try:
        with _stopped_after(LONGEST_S):
            filled = tokenizer.apply_chat_template(list(turns), tokenize=False, **options)
    except TimeoutError as error:
        raise ChatTemplateError(f"does not end within {LONGEST_S:g} s") from error
    except Exception as error:  # a template is a program of its own: anything may come
        words = " ".join(str(error).split("Rendered chat:")[0].split()) or type(error).__name__
        raise ChatTemplateError(f"fails ({words})") from error
    return _within(str(filled))


def _filled_outside(
    tokenizer: PreTrainedTokenizerFast,
    backend: IsolatedBackend,
    turns: Sequence[Turn],
    options: dict[str, Any],
) -> str:
    try:
        template = tokenizer.get_chat_template()
        special = {name: _plain(value) for name, value in tokenizer.special_tokens_map.items()}
        return backend.fill(template, turns, **special | options)
    except (TokenizerError, TypeError) as error:
        raise ChatTemplateError(f"fails ({error})") from error


def _plain(token: Any) -> Any:
    """Return a special token, or several, as strings."""
    return [str(one) for one in token] if isinstance(token, list | tuple) else str(token)


def _within(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        raise ChatTemplateError(f"writes {len(text):,} characters, more than {MOST_CHARACTERS:,}")
    return text


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside a template of this thread that takes longer."""
    end = time.monotonic() + seconds
    before = sys.gettrace()

    def line(*_: Any) -> Any:
        if time.monotonic() > end:
            raise TimeoutError
        return line

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line() if frame.f_code.co_filename == _COMPILED else None

    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)
