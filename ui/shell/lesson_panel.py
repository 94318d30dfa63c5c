"""The lesson beside a page of runs: empty until an address asks for one."""

from typing import Any

import gradio as gr

from tokenarium.backend import Lab, UserError
from tokenarium.ui.classes.classroom import keep_pass
from tokenarium.ui.components.cost_card import refused_card
from tokenarium.ui.lessons.judging import judge
from tokenarium.ui.lessons.lesson import Lesson, Question, Step
from tokenarium.ui.lessons.markup import inline, paragraphs
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.shell.section import MAIN, RunPage, Section
from tokenarium.ui.text import escape
from tokenarium.ui.why.cost import marked_card

JS = "window.tokenarium.lesson(element, server);"


def lesson_panel(page: RunPage, lab: Lab) -> gr.HTML:
    """Return the panel; what it says comes when the address names a lesson.

    Args:
        page: that it stands beside.
        lab: who opens the runs that checks judge.
    """

    # The browser's functions take one argument.
    def lesson_step(asked: dict[str, Any]) -> dict[str, Any]:
        found = _found(asked)
        return {"missing": _MISSING} if found is None else _shown(*found, page, lab)

    def lesson_check(asked: dict[str, Any]) -> dict[str, Any]:
        found = _found(asked)
        if found is None:
            return {"passed": False, "said": _MISSING, "learned": ""}
        lesson, number = found
        step = lesson.steps[number - 1]
        told = asked.get("state")
        state = told if isinstance(told, dict) else {}
        verdict = judge(lab, page, step, state, asked.get("answer"))
        if verdict.passed:
            keep_pass(lab, state, lesson.slug, number)
        learned = inline(step.learned) if verdict.passed else ""
        return {"passed": verdict.passed, "said": verdict.said, "learned": learned}

    return gr.HTML(
        html_template="<div></div>",
        js_on_load=JS,
        server_functions=[lesson_step, lesson_check],
        elem_id="lesson",
    )


_MISSING = "There is no such lesson or step: choose one on the Learn page."


def _found(asked: object) -> tuple[Lesson, int] | None:
    given = asked if isinstance(asked, dict) else {}
    lesson = lessons().get(str(given.get("lesson")))
    number = given.get("step")
    if lesson is None or type(number) is not int or not 1 <= number <= len(lesson.steps):
        return None
    return lesson, number


def _shown(lesson: Lesson, number: int, page: RunPage, lab: Lab) -> dict[str, Any]:
    step = lesson.steps[number - 1]
    return {
        "lesson": lesson.slug,
        "title": lesson.title,
        "name": step.title,
        "html": _body(step) + (_cost(step, page, lab) if step.live else ""),
        "do": step.do.replace("*", ""),
        "look": step.look,
        "asks": step.question is not None,
        "live": step.live,
        "hints": [inline(hint) for hint in step.hints],
        "addresses": [lesson.address(each) for each in range(1, len(lesson.steps) + 1)],
        "names": [each.title for each in lesson.steps],
    }


def _body(step: Step) -> str:
    ask = "" if step.question is None else _question(step.question)
    return (
        f"{paragraphs(step.text)}"
        f'<p class="tk-lesson-do"><strong>Do:</strong> {inline(step.do)}</p>{ask}'
    )


def _question(question: Question) -> str:
    label = inline(question.label)
    button = '<button type="button" data-do="check">Check</button>'
    if question.kind == "number":
        return (
            f'<form class="tk-lesson-ask"><label for="lesson-answer">{label}</label>'
            '<input id="lesson-answer" class="tk-lesson-number" inputmode="decimal" '
            f'autocomplete="off">{button}</form>'
        )
    options = "".join(
        f'<label><input type="radio" name="lesson-answer" value="{escape(value)}">'
        f" {inline(said)}</label>"
        for value, said in question.options.items()
    )
    return (
        f'<form class="tk-lesson-ask"><fieldset><legend>{label}</legend>{options}</fieldset>'
        f"{button}</form>"
    )


def _cost(step: Step, page: RunPage, lab: Lab) -> str:
    """Return what the step's run takes here, as its page says it."""
    slug = next((name for name in page.sections if name != MAIN and name in step.state), MAIN)
    section: Section = page.sections[slug]
    try:
        request: Any = lab.open(step.state[slug].split(".")[0]).request
        found = lab.estimate(request)
        return "" if found is None else marked_card(lab, found, request, section.card)
    except UserError as error:
        return refused_card(str(error))
