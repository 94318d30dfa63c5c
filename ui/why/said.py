"""Numbers within a sentence that is stored with a run, such as a verdict."""

import re
from collections.abc import Iterator
from typing import Any

from tokenarium.backend import Result, UserError
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import Source, number, source

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
"""As ``NUMBERS`` in Python that is handed out."""
BEFORE = "said-"
"""Before the name of the field, where a number's source has the name of what it is."""

WITHIN, NOTE = 'span class="tk-note"', 'p class="tk-sub"'
"""Elements that a note stands in: within a paragraph, or as one."""


def marked(text: str, field: str, run_id: str = "", *path: int) -> str:
    """Return a stored sentence as HTML, escaped, each of its numbers marked.

    Args:
        text: as it is stored, or with the same numbers in the same order.
        field: of the result that holds it.
        run_id: as of ``number``.
        path: which of the field's sentences, or checks, says it, where it has several.
    """
    return "".join(
        escape(said) if of is None else number(said, of, run_id)
        for said, of in _parted(text, field, path)
    )


def notes(result: Result, run_id: str = "", tag: str = WITHIN) -> str:
    """Return what a run says of itself, each note in an element of its own, its numbers marked."""
    said: tuple[str, ...] = getattr(result, "notes", ())
    name = tag.partition(" ")[0]
    return "".join(
        f"<{tag}>{marked(note, 'notes', run_id, place)}</{name}> "
        for place, note in enumerate(said)
    )


def parted(text: str, field: str, *path: int) -> list[list[str]]:
    """Return the same for a script: texts, and numbers each with its source as it is written."""
    return [
        [said] if of is None else [said, of.written()] for said, of in _parted(text, field, path)
    ]


def _parted(text: str, field: str, path: tuple[int, ...]) -> Iterator[tuple[str, Source | None]]:
    end = 0
    for count, found in enumerate(NUMBER.finditer(text)):
        if found.start() > end:
            yield text[end : found.start()], None
        yield found[0], source(f"{BEFORE}{field}", *path, count)
        end = found.end()
    if end < len(text):
        yield text[end:], None


def expression(result: Result, field: str, places: list[int]) -> str:
    """Return Python that gives a number of a stored sentence again.

    Raises:
        UserError: if the result has no such sentence.
    """
    value: Any = getattr(result, field, None) if field in result.quantities() else None
    *path, count = places or [-1]
    text = f"result.{field}"
    if isinstance(value, dict) and len(path) == 1 and path[0] < len(value.get("checks", ())):
        text += f'["checks"][{path[0]}]["evidence"]'
        value, path = "", []
    while path and isinstance(value, tuple) and path[0] < len(value):
        text += f"[{path[0]}]"
        value, path = value[path[0]], path[1:]
    if path or not places or not isinstance(value, str):
        raise UserError(f"number={field[:60]!r} is none of this run: press one on the page")
    return f'float(re.findall(r"{NUMBER.pattern}", {text})[{count}].replace(",", ""))'
