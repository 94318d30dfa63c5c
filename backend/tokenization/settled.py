"""What the ``tokenizers`` library leaves to chance in a training, settled: one text, one tokenizer.

The library (0.23) walks over the words of a text in an order that changes from process to process,
whatever the number of its threads. Byte-pair encoding does not depend on it. WordPiece numbers the
letters inside of words by it, and breaks ties between merges by these numbers. Unigram adds numbers
in that order, which changes the last digits of scores, and gives letters that are not in the text
scores one step apart in it.
"""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

INSIDE = "##"
"""Before an entry of WordPiece that goes on inside of a word."""
DIGITS = 4
"""After the point of a score of Unigram, which is in nats."""
_STEP = 1e-4
"""Between the scores of letters that Unigram has only because they were asked for."""


def letters_inside(core: Tokenizer, lines: Sequence[str]) -> list[str]:
    """Return the entries that WordPiece has for letters inside of words, in order.

    Args:
        core: a tokenizer before its training.
        lines: of the text to train on.
    """
    pieces = {piece for line in lines for piece, _ in core.pre_tokenizer.pre_tokenize_str(line)}
    return sorted({INSIDE + letter for piece in pieces for letter in piece[1:]})


def settled(state: str, letters: Sequence[str] = ()) -> str:
    """Return a trained tokenizer's state without what chance has left in it.

    Args:
        state: its tokenizer.json.
        letters: entries that were trained as special tokens, and are none.
    """
    content: dict[str, Any] = json.loads(state)
    if content["model"]["type"] == "BPE":
        return state
    kept = {*letters}
    added = content["added_tokens"]
    content["added_tokens"] = [each for each in added if each["content"] not in kept]
    if content["model"]["type"] == "Unigram":
        content["model"]["vocab"] = _ordered(content["model"]["vocab"])
    return json.dumps(content, ensure_ascii=False)


def _ordered(vocabulary: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the pieces of Unigram with rounded scores, the likeliest first, then by letters."""
    least = min(score for _, score in vocabulary)
    asked, found = [], []
    for piece, score in vocabulary:
        steps = (score - least) / _STEP
        unlearned = len(piece) == 1 and abs(steps - round(steps)) < 1e-3
        if unlearned:
            asked.append(piece)
        else:
            found.append((piece, round(score, DIGITS)))
    lowest = round(least, DIGITS)
    found += [(p, round(lowest + n * _STEP, DIGITS)) for n, p in enumerate(sorted(asked))]
    return sorted(found, key=lambda each: (-each[1], each[0]))
