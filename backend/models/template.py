"""A model's chat template, filled within a limit of time: what it does wrong is said in words."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import PreTrainedTokenizerFast

LONGEST_S = 2.0
"""A template that has not ended by then never will: the longest real ones take milliseconds."""
MOST_CHARACTERS = 4_000_000
_COMPILED = "<template>"  # what Jinja calls the file of a compiled template

Turn = dict[str, str]
"""``role`` and ``content``."""


class ChatTemplateError(ValueError):
    """The chat template of a model cannot be used; the message says why."""


def fill(tokenizer: PreTrainedTokenizerFast, turns: Sequence[Turn], *, answer: bool) -> str:
    """Return the turns as the tokenizer's chat template writes them.

    transformers runs a template in a sandbox, which bounds what it reaches but not how long it
    takes: here it is stopped after ``LONGEST_S``.

    Args:
        tokenizer: with a chat template.
        turns: role and content of each.
        answer: whether the assistant's turn is prepared at the end: begun after another's turn,
            left open where the last one is the assistant's.

    Raises: ChatTemplateError where it fails, does not end, or writes without end.
    """
    goes_on = answer and turns[-1]["role"] == "assistant"
    try:
        with _stopped_after(LONGEST_S):
            filled = tokenizer.apply_chat_template(
                list(turns),
                tokenize=False,
                add_generation_prompt=answer and not goes_on,
                continue_final_message=goes_on,
            )
    except TimeoutError as error:
        raise ChatTemplateError(f"does not end within {LONGEST_S:g} s") from error
    except Exception as error:  # a template is a program of its own: anything may come
        words = " ".join(str(error).split("Rendered chat:")[0].split()) or type(error).__name__
        raise ChatTemplateError(f"fails ({words})") from error
    text = str(filled)
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
