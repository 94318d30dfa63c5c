"""Whether a text answers its prompt, where the right answer is known."""

import re


def answers(text: str, answer: str) -> bool:
    """Return whether the first line that says anything has the answer as a word of its own.

    Capitals do not matter; " 12, of course" answers 12, "120" and "1/12" do not.
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    wanted = re.escape(answer.strip().casefold())
    return re.search(rf"(?<![\w/.]){wanted}(?![\w/]|\.\d)", line.casefold()) is not None
