"""What counts as the right answer: the first line that says anything, the word by itself."""

import pytest

from tokenarium.backend.decoding.answer import answers


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (" 12\n3 + 4 = 7", "12", True),
        (" 120", "12", False),
        (" 1.12", "12", False),
        (" 12.5", "12", False),
        (" 12.", "12", True),
        ("\n\n It is canberra, of course", "Canberra", True),
        ("Sydney\nCanberra", "Canberra", False),
        (" (a+b)", "(a+b)", True),
        ("", "12", False),
    ],
)
def test_the_answer_stands_in_the_first_line(text: str, answer: str, right: bool) -> None:
    assert answers(text, answer) == right
