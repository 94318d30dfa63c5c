"""A text as one user message of a model's chat template."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.offsets import Span
from tokenarium.backend.models.spelling import special_names
from tokenarium.backend.models.template import ChatTemplateError, fill

_MARK = "\ue000message\ue001"


@dataclass(frozen=True)
class Rendered:
    """A filled chat template, and where in it the user's text stands."""

    text: str
    start: int
    """Where the message begins in ``text``, in code points."""
    stop: int
    lead: int
    """Characters the template cut off the beginning of the message."""
    notes: tuple[str, ...]

    def into_the_message(self, spans: list[Span]) -> tuple[list[Span], list[bool]]:
        """Map spans of the filled template to spans of the user's text, and mark the others."""
        shift = self.lead - self.start
        clipped = [(max(a, self.start), min(b, self.stop)) for a, b in spans]
        outside = [stop <= start for start, stop in clipped]
        moved = [
            (0, 0) if mark else (start + shift, stop + shift)
            for (start, stop), mark in zip(clipped, outside, strict=True)
        ]
        return moved, outside


def render(tokenizer: PreTrainedTokenizerFast, text: str) -> Rendered:
    """Fill the tokenizer's chat template with one user message, ready for the model's answer.

    Raises: ValueError where there is no template, where it rewrites the message, or where the
        message spells a special token, which would end up indistinguishable from the template's.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "chat_template=True, but the tokenizer of this model has none: set chat_template=False"
        )
    for name in special_names(tokenizer):
        if name in text:
            raise ValueError(
                f"chat_template=True, but the text spells {name} at character {text.index(name)}, "
                "which the template could not keep apart from its own tokens: remove it, or set "
                "chat_template=False"
            )
    whole, frame = _fill(tokenizer, text), _fill(tokenizer, _MARK)
    head, found, tail = frame.partition(_MARK)
    inside = whole[len(head) : len(whole) - len(tail)]
    lead = text.find(inside)
    trimmed = inside in (text, text.strip(), text.lstrip(), text.rstrip())
    if not (found and trimmed and inside and whole == head + inside + tail):
        raise ValueError(
            "chat_template=True, but the template of this model rewrites the message, so that its "
            "tokens cannot be traced to the text: set chat_template=False"
        )
    cut = len(text) - len(inside)
    notes = (f"the chat template removed {cut} blank characters around the text",) if cut else ()
    return Rendered(whole, len(head), len(head) + len(inside), lead, notes)


def _fill(tokenizer: PreTrainedTokenizerFast, message: str) -> str:
    try:
        return fill(tokenizer, [{"role": "user", "content": message}], answer=True)
    except ChatTemplateError as error:
        raise ValueError(
            f"chat_template=True, but the template of this model {error}: set chat_template=False"
        ) from error
