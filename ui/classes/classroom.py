"""A class on the Learn page: students join by a code, a teacher sees who has passed what."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import gradio as gr

from tokenarium.backend import Classes, ClassTable, Lab, UserError, class_code
from tokenarium.ui.lessons.lesson import Lesson
from tokenarium.ui.shell.visitor import hashed, visitor_of
from tokenarium.ui.text import escape, many

JS = "window.tokenarium.classroom(element, server);"
KEPT = (
    "Students are numbers: no name, no address and nothing they type is kept, only which step was "
    "passed when. All of it is deleted after 14 days, or when the teacher deletes it."
)


def classroom(lab: Lab, lessons: Sequence[Lesson]) -> gr.HTML:
    """Return the part of the page for classes.

    Args:
        lab: where classes are kept.
        lessons: that its table has, in order.
    """
    classes = lab.classes

    def class_begin(asked: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        address = visitor_of(lab, request).address
        return _said(lambda: _begun(classes, _text(asked, "title"), address))

    def class_join(asked: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        address = visitor_of(lab, request).address
        return _said(lambda: _joined(classes, asked, address))

    def class_table(asked: dict[str, Any]) -> dict[str, Any]:
        return _said(lambda: _table(classes.table(_text(asked, "secret")), lessons))

    def class_delete(asked: dict[str, Any]) -> dict[str, Any]:
        def deleted() -> dict[str, Any]:
            classes.delete(_text(asked, "secret"))
            return {"deleted": "The class is deleted, with all that was kept of it."}

        return _said(deleted)

    return gr.HTML(
        html_template=f"""<section class="tk-classroom" aria-labelledby="classroom-title">
  <h2 id="classroom-title">In a class</h2>
  <div class="tk-class-table" hidden></div>
  <div class="tk-class-forms">
  <form data-do="join"><label for="class-code">Students: code of your class</label>
    <input id="class-code" autocomplete="off" maxlength="12" size="9" required>
    <button type="submit">Join</button></form>
  <form data-do="begin"><label for="class-title">Teachers: name of the class</label>
    <input id="class-title" autocomplete="off" maxlength="80">
    <button type="submit">Begin a class</button></form></div>
  <p class="tk-class-said" role="status"></p>
  <p class="tk-sub">{KEPT}</p></section>""",
        js_on_load=JS,
        server_functions=[class_begin, class_join, class_table, class_delete],
        elem_id="classroom",
    )


def keep_pass(lab: Lab, state: Mapping[str, Any], lesson: str, step: int) -> None:
    """Keep that a step was passed, where the student is in a class that there still is.

    Args:
        lab: where classes are kept.
        state: what the page said with the event: ``group`` is the code, ``visitor`` the name.
        lesson: slug.
        step: number, from 1 on.
    """
    code, name = state.get("group"), hashed(state.get("visitor"))
    if name and isinstance(code, str) and lab.classes.has(code):
        with suppress(UserError):  # a class that is full, or over since: the step is passed
            lab.classes.passed(code, name, lesson, step)


def _said(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return an answer, or why there is none."""
    try:
        return work()
    except UserError as error:
        return {"refused": str(error)}


def _text(asked: object, name: str) -> str:
    found = asked.get(name) if isinstance(asked, dict) else None
    return found if isinstance(found, str) else ""


def _begun(classes: Classes, title: str, address: str) -> dict[str, Any]:
    begun = classes.begin(title, address)
    return {"code": begun.code, "secret": begun.secret, "until": f"{begun.until:%d %B %Y}"}


def _joined(classes: Classes, asked: object, address: str) -> dict[str, Any]:
    code = class_code(_text(asked, "code"))
    name = hashed(asked.get("visitor") if isinstance(asked, dict) else None)
    if not name:
        raise UserError("your browser sent no name: reload the page and try again")
    number = classes.join(code, name, address)
    return {"code": code, "number": number, "title": classes.title(code)}


def _table(found: ClassTable, lessons: Sequence[Lesson]) -> dict[str, Any]:
    """Return the table as HTML, and as CSV for a file."""
    students = range(1, found.students + 1)
    head = "".join(f'<th scope="col">{number}</th>' for number in students)
    body = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="{found.students + 2}">{escape(lesson.title)}'
        f"</th></tr>{_rows(found, lesson)}</tbody>"
        for lesson in lessons
    )
    name = escape(found.title) or "Your class"
    return {
        "html": (
            f"<h3>{name}: code <b>{found.code}</b></h3>"
            f'<p class="tk-sub">{many(found.students, "student")} joined. Deleted on '
            f"{found.until:%d %B %Y}.</p>"
            '<div class="tk-class-scroll" tabindex="0" role="region" aria-label="Who passed what">'
            f'<table><thead><tr><th scope="col">Step</th>{head}<th scope="col">passed by</th></tr>'
            f"</thead>{body}</table></div>"
        ),
        "csv": found.csv(),
        "code": found.code,
    }


def _rows(found: ClassTable, lesson: Lesson) -> str:
    students = range(1, found.students + 1)
    rows = ""
    for number, step in enumerate(lesson.steps, 1):
        marks = [(lesson.slug, number) in found.passed.get(student, {}) for student in students]
        cells = "".join(f"<td>{'✓' if mark else ''}</td>" for mark in marks)
        rows += (
            f'<tr><th scope="row">{number}. {escape(step.title)}</th>{cells}'
            f"<td>{sum(marks)} of {found.students}</td></tr>"
        )
    return rows
