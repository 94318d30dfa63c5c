"""Questions about the letters of a word, with their answers, and where the letter's token is.

Paper: Uzan & Pinter, 2025, arXiv:2508.02591 (CharBench): counting and finding letters against the
length of the token that holds them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["count", "find"]
LONGEST_FOUND = 9
"""Letters of a word in which one is found: positions of one digit, each one candidate."""
DRAWS = 2_000
WORDS = (
    *("strawberry", "bookkeeper", "banana", "letter", "window", "elephant", "mississippi"),
    *("garden", "unbelievable", "parallel", "committee", "sausage", "umbrella", "tomorrow"),
    *("kangaroo", "cinnamon", "raspberry", "happiness", "butterfly", "lollipop", "tennessee"),
    *("possession", "coconut", "assassin", "balloon", "rhythm", "orange", "market", "silver"),
    *("planet", "thunder", "blanket"),
)
_SHOWN: dict[Task, tuple[tuple[str, str], ...]] = {
    "count": (("coffee", "f"), ("cat", "t"), ("papaya", "a"), ("moon", "o")),
    "find": (("river", "v"), ("cat", "t"), ("house", "h"), ("chair", "a")),
}


@dataclass(frozen=True)
class Question:
    """One question about one word."""

    word: str
    letter: str
    answer: int
    candidates: tuple[int, ...]

    @property
    def first(self) -> int:
        """Place of the letter's first occurrence, from 0."""
        return self.word.index(self.letter)


def questions(words: Sequence[str], task: Task, seed: int) -> list[Question]:
    """Return two questions for each word: its commonest letter and another, drawn.

    Of ``find`` only letters are asked for that occur once.

    Raises:
        ValueError: if no word has a letter that can be asked for.
    """
    draw = np.random.default_rng(seed)
    found = []
    for word in words:
        counted = Counter(word)
        if task == "find":
            once = [letter for letter in word if counted[letter] == 1]
            chosen = draw.choice(once, min(2, len(once)), replace=False).tolist() if once else []
            if len(word) > LONGEST_FOUND:
                continue
            places = tuple(range(1, len(word) + 1))
            found += [Question(word, each, word.index(each) + 1, places) for each in chosen]
            continue
        common = counted.most_common(1)[0][0]
        others = [letter for letter in dict.fromkeys(word) if letter != common]
        chosen = [common, *([str(draw.choice(others))] if others else [])]
        numbers = tuple(range(min(len(word), 9) + 1))
        found += [Question(word, each, counted[each], numbers) for each in chosen]
    if not found:
        raise ValueError(
            "no word has a letter that can be asked for: give words of 2 to "
            f"{LONGEST_FOUND} letters, some of which occur once"
        )
    return found


def prompt(asked: Question, task: Task, shots: int) -> tuple[str, int]:
    """Return the prompt up to the space before the answer, and where the word begins in it."""
    shown = _SHOWN[task][:shots]
    lines = []
    for word, letter in shown:
        answer = word.count(letter) if task == "count" else word.index(letter) + 1
        lines.append(f"{_sentence(word, letter, task)} {answer}\n")
    last = _sentence(asked.word, asked.letter, task)
    before = "".join(lines)
    return before + last, len(before) + last.index(f'"{asked.word}"') + 1


def _sentence(word: str, letter: str, task: Task) -> str:
    if task == "count":
        return f'In the word "{word}", how many times is the letter "{letter}"? Answer:'
    return f'In the word "{word}", at which position is the letter "{letter}"? Answer:'


def usual_answer(asked: Sequence[Question]) -> tuple[int, float]:
    """Return the answer that is right most often, and how often: what no reading would reach."""
    answer, times = Counter(each.answer for each in asked).most_common(1)[0]
    return answer, times / len(asked)


def slope(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Return the least-squares slope of y on x, and its interval of 95 % by drawing pairs anew.

    NaN where x does not vary.
    """
    if len(x) < 3 or np.ptp(x) == 0:
        return float("nan"), float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(len(x), size=(DRAWS, len(x)))
    drawn = _slopes(x[picks], y[picks])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(_slopes(x[None], y[None])[0]), float(low), float(high)


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = x - x.mean(1, keepdims=True)
    spread = (apart**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (apart * y).sum(1) / np.where(spread > 0, spread, np.nan)
    return found
