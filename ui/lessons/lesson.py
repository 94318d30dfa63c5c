"""What a lesson is: steps, each a state of a real page and a check on what a student does there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

LESSON, STEP = "lesson", "lesson_step"
"""What names lesson and step in an address; ``step`` alone is a decode step of the Cache page."""


@dataclass(frozen=True)
class Asked:
    """A check by its name, with its parameters."""

    name: str
    parameters: Mapping[str, str | float]


@dataclass(frozen=True)
class Question:
    """Something that a student types or chooses, beside what is selected on the page."""

    kind: Literal["number", "choice"]
    label: str
    options: Mapping[str, str]
    """By the value that the check reads, what the student sees; empty for a number."""


@dataclass(frozen=True)
class Step:
    """One step: a sentence or two, a state of a page, something to do, and its check."""

    title: str
    text: str
    """Markdown."""
    page: str
    """Path of the page that it stands beside."""
    state: Mapping[str, str]
    """What the address of that page says: run, view, selection."""
    do: str
    checks: tuple[Asked, ...]
    hints: tuple[str, ...]
    learned: str
    """What is said once the check is passed."""
    right: tuple[Mapping[str, str], ...]
    """Examples of what passes, each a change of ``state``; ``answer`` is what a student types,
    ``asked.budget`` a field of the visitor's own request."""
    wrong: tuple[Mapping[str, str], ...]
    question: Question | None = None
    look: str = ""
    """Id of the part of the page that it is about, which is scrolled to."""
    live: bool = False
    """Whether the student runs something."""


@dataclass(frozen=True)
class Lesson:
    """A lesson as its file declares it."""

    slug: str
    title: str
    order: int
    minutes: int
    after: str
    """What one knows after it."""
    steps: tuple[Step, ...]

    def address(self, number: int) -> str:
        """Return the address of a step, relative to the pages.

        Args:
            number: from 1 on.
        """
        step = self.steps[number - 1]
        query = {**step.state, LESSON: self.slug, STEP: str(number)}
        return f"{step.page or './'}?{urlencode(query, safe='.,')}"
