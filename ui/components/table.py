"""A table of numbers with their definitions, whose rows choose a token or a head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gradio as gr
import orjson

from tokenarium.ui.text import escape
from tokenarium.ui.why.number import Source, number

CSV = '<button type="button" class="tk-csv" title="Save this table as a CSV file">CSV</button>'
"""The browser makes the file of what stands in the table."""


@dataclass(frozen=True)
class Column:
    """A heading and what it means, shown when it is pointed at."""

    title: str
    meaning: str = ""


@dataclass(frozen=True)
class Link:
    """A cell that chooses something when it is pressed."""

    text: str
    select: Mapping[str, int | str]
    """Parts of the selection: token, layer, head, metric."""


@dataclass(frozen=True)
class Copy:
    """A cell whose button copies a text; a dash where there is none."""

    text: str
    copied: str


@dataclass(frozen=True)
class Number:
    """A number that opens what it is."""

    text: str
    of: Source
    run_id: str = ""
    """Of the run that it is of, where that is not the one that the page shows."""


@dataclass(frozen=True)
class Numbers:
    """A cell, or a caption, of texts and numbers, one after another."""

    parts: tuple[str | Number, ...]

    @property
    def text(self) -> str:
        """As it is read."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def html(self) -> str:
        """As it stands on the page."""
        return "".join(map(_part, self.parts))

    @property
    def sent(self) -> list[list[str]]:
        """As a script reads it: texts, and numbers each with its source."""
        return [
            [part] if isinstance(part, str) else [part.text, part.of.written()]
            for part in self.parts
        ]


Cell = str | Link | Copy | Number | Numbers


def table_html(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], caption: str | Numbers, empty: str
) -> str:
    """Return the table as HTML, every text in it escaped; ``empty`` is said where no row is."""
    named = Numbers((caption,)) if isinstance(caption, str) else caption
    if not rows:
        return f'<p class="tk-sub">{escape(empty)}</p>'
    head = "".join(
        f'<th scope="col" title="{escape(column.meaning)}">{escape(column.title)}</th>'
        for column in columns
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    # Where it is wider than the page it scrolls, and what scrolls must be reached by the keyboard.
    return (
        f'<div class="tk-table" role="region" tabindex="0" aria-label="{escape(named.text)}">'
        f"<table><caption>{named.html}{CSV}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def table(value: str | None, name: str) -> gr.HTML:
    """Return a host for a table's HTML."""
    return gr.HTML(
        value or "",
        html_template='<div class="tk-table-host"></div>',
        js_on_load="window.tokenarium.table(element, props, watch);",
        elem_id=f"table-{name}",
        elem_classes="tk-block",
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    if isinstance(cell, Copy):
        if not cell.copied:
            return "<td>&ndash;</td>"
        copied = escape(cell.copied)
        named = f'title="{copied}">{escape(cell.text)}'
        return f'<td><button type="button" data-copy="{copied}" {named}</button></td>'
    if isinstance(cell, Number | Numbers):
        return f"<td>{(Numbers((cell,)) if isinstance(cell, Number) else cell).html}</td>"
    told = escape(orjson.dumps(cell.select).decode())
    return f'<td><button type="button" data-select="{told}">{escape(cell.text)}</button></td>'


def _part(part: str | Number) -> str:
    return escape(part) if isinstance(part, str) else number(part.text, part.of, part.run_id)
