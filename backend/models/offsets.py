"""Where tokens stand in a text, when the tokenizer's own answer leaves characters out."""

from typing import TYPE_CHECKING, Any

from tokenizers import processors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Span = tuple[int, int]


def keep_spaces(tokenizer: "PreTrainedTokenizerFast") -> None:
    """Make the tokenizer count a space as part of its token, as in `` word``; safe to repeat.

    GPT-NeoX and RoBERTa trim them, after which a token of spaces stands nowhere.
    """
    processor = tokenizer.backend_tokenizer.post_processor
    stages: Any = processor if isinstance(processor, processors.Sequence) else [processor]
    for stage in stages:
        if getattr(stage, "trim_offsets", False):
            stage.trim_offsets = False


def close_gaps(text: str, spans: list[Span], special: list[bool]) -> list[Span]:
    """Give every character that no token covers to a neighbour.

    Unicode normalisation loses combining marks, and some tokenizers drop spaces. A space goes to
    the token after it, as in `` word``; anything else to the token before it.

    Args:
        text: what was tokenised.
        spans: [start, stop) per token; those of special tokens are left as they are.
        special: whether the tokenizer added the token.
    """
    closed = list(spans)
    covered, before = 0, -1
    for index, (start, stop) in enumerate(spans):
        if special[index]:
            continue
        if start > covered:
            start = _first_space(text, covered, start) if before >= 0 else covered
            if before >= 0 and start > covered:
                closed[before] = (closed[before][0], start)
        closed[index] = (start, max(start, stop))
        covered, before = max(covered, stop), index
    if before >= 0 and covered < len(text):
        closed[before] = (closed[before][0], len(text))
    return closed


def _first_space(text: str, start: int, stop: int) -> int:
    return next((at for at in range(start, stop) if text[at].isspace()), stop)


def place(spans: list[Span], special: list[bool]) -> list[Span]:
    """Give each special token the empty span where the token before it ends."""
    placed, end = [], 0
    for span, mark in zip(spans, special, strict=True):
        placed.append((end, end) if mark else span)
        end = end if mark else max(end, span[1])
    return placed
