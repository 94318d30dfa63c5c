"""A lesson as one HTML file for paper: prose, pictures of its stored runs, questions, answers."""

from tokenarium.backend import Lab, UserError
from tokenarium.ui.lessons.judging import judge, seen, state_of
from tokenarium.ui.lessons.lesson import Lesson, Step
from tokenarium.ui.lessons.markup import inline, paragraphs
from tokenarium.ui.lessons.pictures import picture
from tokenarium.ui.lessons.reading import FOLDER
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.text import escape

PAPER = (
    "This lesson was written for the pages of Tokenarium. On paper, write down what you would "
    "click, and where you see it in the picture."
)


def handout(lab: Lab, lesson: Lesson) -> str:
    """Return a page that needs no network, server or script.

    Args:
        lab: who opens the stored runs.
        lesson: of which it is made.
    """
    style = (FOLDER / "handout.css").read_text("utf-8")
    title = escape(lesson.title)
    steps = "".join(_step(lab, step, number) for number, step in enumerate(lesson.steps, 1))
    answers = "".join(f"<li>{_answer(lab, step)}</li>" for step in lesson.steps)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body><main><h1>{title}</h1>"
        f"<p>{inline(lesson.after)}</p><p>{PAPER}</p>{steps}"
        f'<section class="answers"><h2>Answers</h2><ol>{answers}</ol></section>'
        "</main></body></html>"
    )


def _step(lab: Lab, step: Step, number: int) -> str:
    page = _page(lab, step)
    state, _ = state_of(step, {})
    shown = "" if step.live else picture(seen(lab, page, step, state, ""), step)
    hints = "".join(f"<li>{inline(hint)}</li>" for hint in step.hints)
    at = f"On the {escape(page.title)} page" if step.live else "Do"
    return (
        f"<section><h2>{number}. {escape(step.title)}</h2>{paragraphs(step.text)}"
        f'<p class="do"><strong>{at}:</strong> {inline(step.do)}</p>{_question(step)}{shown}'
        f"<details><summary>Hints</summary><ol>{hints}</ol></details></section>"
    )


def _question(step: Step) -> str:
    if step.question is None:
        return '<p class="line"></p>'
    options = "".join(f"<li>☐ {inline(said)}</li>" for said in step.question.options.values())
    return f"<p>{inline(step.question.label)}</p>" + (
        f'<ul class="options">{options}</ul>' if options else '<p class="line"></p>'
    )


def _answer(lab: Lab, step: Step) -> str:
    if step.live:
        return inline(step.learned)
    state, answer = state_of(step, step.right[0])
    found = judge(lab, _page(lab, step), step, state, answer)
    if not found.passed:
        raise UserError(f"the answer of {step.title!r} is not right of its run: {found.said}")
    return f"{escape(found.said)} {inline(step.learned)}"


def _page(lab: Lab, step: Step) -> RunPage:
    known = {page.path: page for page in RunPage.__subclasses__()}
    return known[step.page](lab)
