"""The units of a text that an attribution scores: tokens, words, sentences or turns."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from tokenarium.backend.analysis.segmentation import word_and_sentence_starts
from tokenarium.backend.models.text import Tokens

MOST_UNITS = 4096


@dataclass(frozen=True)
class Unit:
    """Neighbouring tokens [start, stop) that are changed together."""

    start: int
    stop: int
    text: str


def units_of(tokens: Tokens, kind: str, stop: int) -> tuple[Unit, ...]:
    """Return the units among the first ``stop`` tokens.

    What the tokenizer or the chat template added belongs to none, and is never changed. A token
    that spans a border counts to where it begins.

    Args:
        tokens: the text.
        kind: word, token, sentence or turn.
        stop: the tokens from here on are not looked at.
    Raises: ValueError where there is none, or there are too many.
    """
    if kind == "turn" and not tokens.roles:
        raise ValueError("unit=turn needs messages: choose unit=sentence, word or token")
    numbers = _numbers(tokens, kind)[:stop]
    found = []
    for number, places in groupby(range(len(numbers)), key=lambda place: int(numbers[place])):
        if number < 0:
            continue
        inside = list(places)
        text = "".join(tokens.text[place] for place in inside)
        found.append(Unit(inside[0], inside[-1] + 1, text))
    if not found:
        raise ValueError(
            "nothing of the text stands before the token to explain: choose a later target"
        )
    if len(found) > MOST_UNITS:
        raise ValueError(
            f"unit={kind} cuts the text into {len(found)} units, the most is {MOST_UNITS}: choose "
            "larger units or a shorter text"
        )
    return tuple(found)


def _has_letters(text: str) -> bool:
    """Return whether a token has a letter or digit, or is a part of a character."""
    return any(sign.isalnum() for sign in text)


def _numbers(tokens: Tokens, kind: str) -> np.ndarray:
    """Return [T] the number of the unit of each token; -1 where it belongs to none."""
    if kind == "token":
        numbers = np.arange(len(tokens.ids))
    elif kind == "turn":
        numbers = tokens.turn.astype(np.int64)
    else:
        words, sentences = word_and_sentence_starts(tokens.text, tokens.special)
        signs = np.array([not _has_letters(text) for text in tokens.text])
        # Signs go with the word before them.
        numbers = np.cumsum((words & ~signs) | tokens.special if kind == "word" else sentences)
    return np.where(tokens.special, -1, numbers)
