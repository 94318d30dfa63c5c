"""A step of a lesson in a frame of another site: which step is meant, and what stands beside it."""

from collections.abc import Mapping
from urllib.parse import urlencode

from tokenarium.backend import UserError
from tokenarium.ui.lessons.lesson import LESSON, STEP, Lesson, Step
from tokenarium.ui.lessons.reading import RUNS, lessons

FRAMED = "lesson"
"""Name in ``?embed=`` of the step that an address names."""


def step_of(asked: Mapping[str, str]) -> tuple[Lesson, int]:
    """Return lesson and number of the step that an address names, the first where it says none.

    Raises:
        UserError: naming what there is.
    """
    slug, number = asked.get(LESSON, ""), asked.get(STEP, "1")
    lesson = lessons().get(slug)
    if lesson is None:
        raise UserError(
            f"{LESSON}={slug[:60]!r} is no lesson: choose {', '.join(lessons())}, as in "
            f"learn?{LESSON}=sink&{STEP}=2&embed={FRAMED}"
        )
    steps = [str(place) for place in range(1, len(lesson.steps) + 1)]
    if number not in steps:
        raise UserError(
            f"{STEP}={number[:60]!r} is no step of {slug!r}: choose 1 to {len(lesson.steps)}"
        )
    return lesson, int(number)


def moved_to(asked: Mapping[str, str], path: str) -> str | None:
    """Return the address at which a step begins, where another page or no run is asked for.

    Args:
        asked: what an address says.
        path: of its page.
    """
    lesson, number = step_of(asked)
    step = lesson.steps[number - 1]
    if path == step.page and any(name in asked for name in RUNS):
        return None
    begins = {**step.state, LESSON: lesson.slug, STEP: str(number)}
    kept = {name: asked[name] for name in ("embed", "__theme") if name in asked}
    return f"{step.page or './'}?{urlencode({**begins, **kept}, safe='.,')}"


def beside(step: Step, parts: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the name of what is shown beside a step: the panel with the part that it is about.

    Args:
        step: of a lesson.
        parts: what of its page can be embedded, by name the ids of the elements.
    """
    having = [name for name, ids in parts.items() if step.look in ids]
    return max(having, key=lambda name: len(parts[name]), default=None)
