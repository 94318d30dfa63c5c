"""Bars of the Tokens page: a table whose numbers are drawn, and open what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenarium.ui.text import escape
from tokenarium.ui.why.number import Source, number


@dataclass(frozen=True)
class Bar:
    """A number and how long its bar is."""

    text: str
    of: Source
    share: float
    """Of the whole width."""


def bars_html(
    caption: str, rows: Sequence[tuple[str, Sequence[Bar]]], columns: Sequence[str] = ()
) -> str:
    """Return the table as HTML, every text in it escaped.

    Args:
        caption: for readers of the screen.
        rows: a name and its bars.
        columns: headings, the first of the names; none where the caption says enough.
    """
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_cell, bars))}</tr>'
        for name, bars in rows
    )
    return (
        f'<table class="tk-cuts-bars"><caption class="tk-unseen">{escape(caption)}</caption>'
        f"{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )


def said_html(words: str) -> str:
    """Return a finding, which is HTML, as a paragraph."""
    return f'<p class="tk-sentence">{words}</p>'


def _cell(bar: Bar) -> str:
    width = f"{min(max(bar.share, 0.0), 1.0):.1%}"
    shown = number(bar.text, bar.of)
    return f'<td><i style="width:{width}"></i><span>{shown}</span></td>'
