"""From words to the token ids that self-play and judging begin with."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenarium.backend.pretraining.draft_head.ragged import Prompts
from tokenarium.backend.pretraining.draft_head.turns import BEGINNINGS

MARK = "\u2042"  # stands for a turn's words while the template is taken apart


def chat_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of a chat with one user turn, up to the assistant's first word."""
    return list(tokenizer.encode(_render(tokenizer, [text]), add_special_tokens=False))


def chat_prompts(tokenizer: Any, whole: Mapping[str, Sequence[str]], longest: int) -> Prompts:
    """Take the chat template apart and encode what users begin with.

    Args:
        whole: user turns to be given whole, by kind; longer ones than ``longest`` tokens are left
            out. Beginnings are repeated until there are as many of them as
            whole turns.
    Raises: ValueError if the template does not close turns with the end-of-text token.
    """
    end = str(tokenizer.eos_token)
    # system, user, MARK, end, assistant, MARK, end, user, MARK, end, assistant
    first, second, third, _ = _render(tokenizer, [MARK, MARK, MARK]).split(MARK)
    if not (second.startswith(end) and third.startswith(end)):
        raise ValueError(
            f"the chat template does not end a turn with {end!r}: choose a target whose chat "
            "template does"
        )

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    turns = [[*ids(text), tokenizer.eos_token_id] for texts in whole.values() for text in texts]
    turns = [turn for turn in turns if len(turn) <= longest]
    repeats = max(1, len(turns) // len(BEGINNINGS))
    beginnings = [ids(text) for text in BEGINNINGS] * repeats
    return Prompts(
        ids(first),
        ids(second.removeprefix(end)),
        ids(third.removeprefix(end)),
        int(tokenizer.eos_token_id),
        beginnings + turns,
    )


def _render(tokenizer: Any, texts: Sequence[str]) -> str:
    """The chat of these turns, user first, up to where the next turn's words begin."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
