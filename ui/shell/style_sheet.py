"""The pages' style sheet, written so that it wins over Gradio's own wherever the two meet.

Gradio does the same in the browser with what it is given as ``css``, which it sends with every
page, and takes lists in brackets, such as ``:is(th, td)``, apart where it must not.
"""

import re
from collections.abc import Iterator

INSIDE = ".gradio-container.gradio-container .contain"
"""What all that the pages show stands in; twice, for the weight of it."""
DARK = ".dark"
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(r",(?![^(]*\))")


def weighted(css: str) -> str:
    """Return a style sheet whose rules count for more inside of Gradio's container.

    Args:
        css: rules, also in ``@media``; other rules that begin with @ stay as they are.

    Raises:
        ValueError: if brackets do not match.
    """
    return "\n".join(_written(_COMMENT.sub("", css)))


def _written(css: str) -> Iterator[str]:
    for head, body in _rules(css):
        if head.startswith("@media"):
            yield f"{head}{{{weighted(body)}}}"
        elif head.startswith("@"):
            yield f"{head}{{{body}}}"
        else:
            yield f"{head}{{{body}}}"  # also what stands outside, such as body
            yield f"{','.join(map(_inside, _COMMA.split(head)))}{{{body}}}"


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before and between the outermost braces."""
    depth, start, open_at = 0, 0, 0
    for place, sign in enumerate(css):
        if sign == "{":
            depth += 1
            open_at = place if depth == 1 else open_at
        elif sign == "}":
            depth -= 1
            if depth < 0:
                break
            if not depth:
                yield " ".join(css[start:open_at].split()), css[open_at + 1 : place].strip()
                start = place + 1
    if depth or css[start:].strip():
        raise ValueError(f"style sheet: brackets do not match near {css[start : start + 60]!r}")


def _inside(selector: str) -> str:
    selector = selector.strip()
    dark = f"{DARK} " if selector.startswith(f"{DARK} ") or selector == DARK else ""
    return f"{dark}{INSIDE} {selector.removeprefix(DARK).strip() if dark else selector}".strip()
