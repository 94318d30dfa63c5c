"""The list of stored runs as HTML: what each is, where it opens, what can be done to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from tokenarium.backend import Lab, ListedRun
from tokenarium.ui.shell.section import place_of
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import number, source

LONGEST_TEXT = 110
HEADINGS = ("Compare", "Text", "Kind", "Model", "Methods", "Stored (UTC)", "Took", "Arrays", "")


@dataclass(frozen=True)
class Row:
    """A run, and what this visitor may do to it."""

    run: ListedRun
    example: bool
    own: bool
    """Whether tags and note may be changed, and the run deleted unless it is an example."""
    pins: bool
    """Whether runs can be pinned here."""
    plain: bool = False
    """Whether nothing in it filters or compares, as in a frame of another site."""


def rows_html(rows: Sequence[Row], empty: str, of: str = "") -> str:
    """Return the list, every text in it escaped.

    Args:
        rows: in order.
        empty: said where no run is.
        of: the answer that its numbers are of.
    """
    if not rows:
        return f'<p class="tk-lib-empty">{escape(empty)}</p>'
    head = "".join(
        f'<th scope="col">{name or chr(60) + "span class=tk-unseen>Change</span>"}</th>'
        for name in HEADINGS
    )
    body = "".join(_row(row, place, of) for place, row in enumerate(rows))
    return (
        '<table class="tk-lib-table"><caption class="tk-unseen">Stored runs, newest first'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def size(count: float) -> str:
    """Return bytes in the largest unit that gives 1 or more."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.2f} GB"


def duration(milliseconds: float) -> str:
    """Return a time as people say it."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def short(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the beginning of a text in one line."""
    line = one_line(" ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@cache
def titles() -> dict[str, str]:
    """Return the titles of the kinds of run, by slug."""
    return {kind.slug: kind.title for kind in Lab.kinds()}


@cache
def address_of(kind: str) -> str:
    """Return where a run of a kind opens, up to its id; empty where no page shows such runs."""
    found = {each.slug: each.request for each in Lab.kinds()}
    place = place_of(found[kind]) if kind in found else None
    return f"{place[0] or './'}?{place[1]}=" if place else ""


def measured(text: str, name: str, *index: int, of: str = "") -> str:
    """Return a size or a time that opens what it is: its unit is part of the number's name."""
    return number(text, source(f"{name}_{text.rpartition(' ')[2]}", *index), of)


def _row(row: Row, place: int, of: str) -> str:
    run, run_id = row.run, escape(row.run.id)
    methods = "".join(
        _filter("method", slug, f'title="{escape(family)}"', plain=row.plain)
        for family, slugs in run.methods.items()
        for slug in slugs
    )
    kept = size(run.array_bytes)
    compare = (
        f'<input type="checkbox" data-compare="{escape(run.kind)}" '
        f'aria-label="Compare {escape(short(run.text, 40))}">'
    )
    cells = (
        "" if row.plain else compare,
        _text(row),
        escape(titles().get(run.kind, run.kind)),
        escape(run.model),
        methods,
        f"{run.created:%Y-%m-%d %H:%M}",
        measured(duration(run.duration_ms), "took", place, of=of),
        "dropped" if run.arrays_dropped else measured(kept, "arrays", place, of=of),
        _changes(row),
    )
    return (
        f'<tr data-run="{run_id}">'
        + "".join(
            f'<td data-name="{name}">{cell}</td>'
            for name, cell in zip(HEADINGS, cells, strict=True)
        )
        + "</tr>"
    )


def _text(row: Row) -> str:
    run, address = row.run, address_of(row.run.kind)
    words = escape(short(run.text)) if run.text.strip() else f"<i>{_untold(run)}</i>"
    opened = (
        f'<a href="{escape(address + run.id)}">{words}</a>'
        if address
        else f'<span title="No page shows runs of this kind: open it from Python">{words}</span>'
    )
    marks = "".join(
        _filter("tagged", tag, 'class="tk-lib-tag"', plain=row.plain) for tag in run.tags
    )
    example = '<span class="tk-note">example</span>' if row.example else ""
    pinned = '<span class="tk-note">pinned</span>' if run.pinned and not row.example else ""
    note = f'<p class="tk-lib-note">{escape(short(run.note, 400))}</p>' if run.note else ""
    return f"{opened} {example}{pinned}{marks}{note}"


def _filter(does: str, value: str, more: str, *, plain: bool) -> str:
    """Return a word that the list is filtered by when it is pressed; plain, the word alone."""
    if plain:
        return f"<span {more}>{escape(value)}</span>"
    return (
        f'<button type="button" data-do="{does}" data-value="{escape(value)}" {more}>'
        f"{escape(value)}</button>"
    )


def _untold(run: ListedRun) -> str:
    """Return what stands for the text of a run that nobody gave one."""
    tasks = run.methods.get("task", ())
    return f"task {escape(', '.join(tasks))}" if tasks else "no single text"


def _changes(row: Row) -> str:
    if not row.own:
        return ""
    run = row.run
    pin = _button("unpin" if run.pinned else "pin", "Unpin" if run.pinned else "Pin")
    delete = '<span class="tk-lib-delete">' + _button("delete", "Delete") + "</span>"
    tags = "".join(
        f'<button type="button" class="tk-lib-tag" data-do="untag" data-value="{escape(tag)}" '
        f'aria-label="Remove the tag {escape(tag)}">{escape(tag)} &times;</button>'
        for tag in run.tags
    )
    return (
        '<details class="tk-lib-change"><summary>Change</summary><div class="tk-lib-form">'
        f'<div class="tk-lib-buttons">{pin if row.pins and not row.example else ""}'
        f"{'' if row.example else delete}</div>"
        f'<label>Tag<input type="text" maxlength="40" data-input="tag"></label>'
        f"{_button('tag', 'Add')}<div>{tags}</div>"
        f'<label>Note<textarea rows="2" maxlength="2000" data-input="note">{escape(run.note)}'
        f"</textarea></label>{_button('note', 'Save note')}</div></details>"
    )


def _button(do: str, said: str) -> str:
    return f'<button type="button" data-do="{do}">{said}</button>'
