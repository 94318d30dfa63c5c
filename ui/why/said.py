"""Numbers within a sentence that is stored with a run, such as a verdict."""

import re

from tokenarium.backend import Result, UserError
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import number, source

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
"""As ``NUMBERS`` in Python that is handed out."""
BEFORE = "said-"
"""Before the name of the field, where a number's source has the name of what it is."""


def marked(text: str, field: str, run_id: str = "", *path: int) -> str:
    """Return a stored sentence as HTML, escaped, each of its numbers marked.

    Args:
        text: as it is stored, or with the same numbers in the same order.
        field: of the result that holds it.
        run_id: as of ``number``.
        path: which check of the field says it, where it has several.
    """
    parts, end = [], 0
    for count, found in enumerate(NUMBER.finditer(text)):
        parts.append(escape(text[end : found.start()]))
        parts.append(number(found[0], source(f"{BEFORE}{field}", *path, count), run_id))
        end = found.end()
    return "".join((*parts, escape(text[end:])))


def expression(result: Result, field: str, places: list[int]) -> str:
    """Return Python that gives a number of a stored sentence again.

    Raises:
        UserError: if the result has no such sentence.
    """
    value = getattr(result, field, None) if field in result.quantities() else None
    *path, count = places or [-1]
    if isinstance(value, str) and not path and places:
        text = f"result.{field}"
    elif isinstance(value, dict) and len(path) == 1 and path[0] < len(value.get("checks", ())):
        text = f'result.{field}["checks"][{path[0]}]["evidence"]'
    else:
        raise UserError(f"number={field[:60]!r} is none of this run: press one on the page")
    return f'float(re.findall(r"{NUMBER.pattern}", {text})[{count}].replace(",", ""))'
