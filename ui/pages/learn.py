"""The Learn page: the lessons, what each is about, and how far this browser came."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import Visitor
from tokenarium.ui.classes.classroom import classroom
from tokenarium.ui.lessons.framed import FRAMED
from tokenarium.ui.lessons.handout import handout
from tokenarium.ui.lessons.lesson import Lesson
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import sent
from tokenarium.ui.text import escape

JS = "window.tokenarium.learn(element, server);"
TEACHERS = (
    "For teachers: the address of a step is its link. It opens the lesson, the step, the run and "
    "what is selected; Copy link gives it. Passed steps are kept in the student's browser, and in "
    "the class, if there is one."
)


class Learn(Page):
    """Lists the lessons."""

    path, title, order = "learn", "Learn", 12
    files: ClassVar[Mapping[str, str]] = {
        f"{lesson.slug}.html": f"Hand-out: {lesson.title} (web page, offline)"
        for lesson in lessons().values()
    }
    parts: ClassVar[Mapping[str, Framed]] = {
        "lessons": Framed("All lessons", ("lessons",)),
        FRAMED: Framed("A step of a lesson", ()),  # which stands beside its own page
    }
    intro: ClassVar[str] = (
        "Lessons beside the real pages: do something, and see at once whether it shows what it "
        "should."
    )

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:  # noqa: ARG002
        """Return the hand-out of a lesson: prose, pictures of its runs, questions and answers."""
        lesson = lessons()[name.removesuffix(".html")]
        return sent(f"tokenarium-{name}", handout(self.lab, lesson))

    def build(self, blocks: gr.Blocks) -> None:  # noqa: ARG002
        """Make the cards, which are the same for everybody; the browser adds what was passed."""

        # The browser's functions take one argument.
        def lesson_handout(asked: dict[str, Any]) -> str:
            lesson = lessons().get(str(asked.get("lesson")))
            return "" if lesson is None else handout(self.lab, lesson)

        cards = "".join(_card(lesson) for lesson in lessons().values())
        gr.HTML(
            html_template=f'<ul class="tk-lessons">{cards}</ul><p class="tk-sub">{TEACHERS}</p>',
            js_on_load=JS,
            server_functions=[lesson_handout],
            elem_id="lessons",
        )
        classroom(self.lab, list(lessons().values()))


def _card(lesson: Lesson) -> str:
    steps = "".join(
        f'<li><a href="{escape(lesson.address(number))}">{escape(step.title)}</a></li>'
        for number, step in enumerate(lesson.steps, 1)
    )
    title, count = escape(lesson.title), len(lesson.steps)
    return (
        f'<li class="tk-lesson-card" data-lesson="{lesson.slug}" data-steps="{count}">'
        f"<h2>{lesson.order}. {title}</h2><p>{escape(lesson.after)}</p>"
        f'<p class="tk-sub">{lesson.minutes} minutes · '
        f'<span class="tk-learned">{count} steps</span></p>'
        f'<details class="tk-steps"><summary>Steps</summary><ol>{steps}</ol></details>'
        f'<div><a class="tk-begin" href="{escape(lesson.address(1))}">Begin</a>'
        f'<button type="button" data-do="link" aria-label="Copy the link of: {title}">Copy link'
        '</button><button type="button" data-do="paper" aria-label="Download the hand-out of: '
        f'{title}">Hand-out</button><button type="button" data-do="embed" aria-label="Embed: '
        f'{title}">Embed</button><span class="tk-lesson-copied" role="status"></span></div></li>'
    )
