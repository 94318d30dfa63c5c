"""Whether a text answers its prompt, where the right answer is known."""

import re
from collections.abc import Callable, Sequence


def answers(text: str, answer: str) -> bool:
    """Return whether the first line that says anything has the answer as a word of its own.

    Capitals do not matter; " 12, of course" answers 12, "120" and "1/12" do not.
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    wanted = re.escape(answer.strip().casefold())
    return re.search(rf"(?<![\w/.]){wanted}(?![\w/]|\.\d)", line.casefold()) is not None


def first_line(tokens: Sequence[int], spell: Callable[[Sequence[int]], str]) -> int:
    """Return how many tokens there are up to the one that ends the first line that says anything.

    Args:
        tokens: of a text.
        spell: ids to text.
    """
    low, high = 0, len(tokens)
    while low < high:  # a line that is over stays over
        middle = (low + high) // 2
        if "\n" in spell(tokens[: middle + 1]).lstrip():
            high = middle
        else:
            low = middle + 1
    return min(low + 1, len(tokens))
