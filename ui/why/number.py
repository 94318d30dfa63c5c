"""A number as it stands on a page, marked with where it came from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tokenarium.ui.text import escape

FIGURE = "figure:"
"""Before what draws a figure by its name, where numbers of a run have its id."""
_MARK = re.compile(r'<button data-why="[^>]*>(.*?)</button>', re.DOTALL)


@dataclass(frozen=True)
class Source:
    """Where a number came from.

    Args:
        name: a field of the result, or one of ``formulas``.
        index: its place along the axes of the field, or what the formula asks for.
    """

    name: str
    index: tuple[int, ...] = ()

    def written(self) -> str:
        """Return it as the browser keeps it and sends it back, such as ``surprisal_nats 12``."""
        return " ".join((self.name, *map(str, self.index)))


def source(name: str, *index: int) -> Source:
    """Return the source of a number, such as ``source("surprisal_nats", 12)``."""
    return Source(name, tuple(map(int, index)))


def number(text: str, of: Source, run_id: str = "") -> str:
    """Return a number as HTML that opens what it is; ``text`` is escaped.

    ``run_id`` is of the run that it is of, where that is not the one that the page shows.
    """
    run = f' data-run="{escape(run_id)}"' if run_id else ""
    return f'<button data-why="{escape(of.written())}"{run}>{escape(text)}</button>'


def of_figure(name: str, ids: Sequence[str], measure: str = "") -> str:
    """Return what stands for a figure where other numbers have the id of their run.

    Args:
        name: as ``run.figure`` has it, or ``figure`` of a comparison.
        ids: of the run, or of several beside each other.
        measure: that is chosen of a comparison.
    """
    return f"{FIGURE}{name}:{'.'.join(ids)}:{measure}"


def of_run(html: str, run_id: str) -> str:
    """Return HTML whose numbers are of another run than the one that the page shows."""
    return f'<div data-run="{escape(run_id)}">{html}</div>' if run_id else html


def unmarked(html: str) -> str:
    """Return HTML with its numbers as plain text, for files that have no server to ask."""
    return _MARK.sub(r"\1", html)
