"""Write the tables of these documents from the program's declarations: ``python docs/generate.py``.

A table stands between two comments, ``<!-- NAME -->`` and ``<!-- end of NAME -->``; a test compares
each with what is declared.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenarium.backend.cache.catalogue import methods_table
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.settings import Settings
from tokenarium.backend.speculation.catalogue import catalogue
from tokenarium.storage.schema import Base

DOCS = Path(__file__).resolve().parent

_DEFAULTS = {
    "cache_dir": "~/.cache/tokenarium",
    "fetch": "on",
    "hosted": "off",
    "host": "127.0.0.1",
}
"""Where the default depends on the machine, or is told in another word."""


def options() -> str:
    """Return every option of the program."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = _DEFAULTS.get(name, field.default)
        shown = "none" if default in (None, ()) else default
        variable = f"`TOKENARIUM_{name.upper()}`"
        rows.append(
            (f"`--{name.replace('_', '-')}`", variable, f"`{shown}`", field.description or "")
        )
    return _table(("Option", "Variable", "Default", "Meaning"), rows)


def endpoints() -> str:
    """Return every kind of run under its three names."""
    rows = [
        (f"`/{kind.endpoint}`", f"`tokenarium run {kind.endpoint}`", kind.title, kind.explanation)
        for kind in _kinds()
    ]
    return _table(("Endpoint and tool", "Command", "Kind", "What it does"), rows)


def quantities() -> str:
    """Return every quantity of every kind of run."""
    parts = []
    for kind in _kinds():
        rows = [
            (f"`{name}`", own.title, own.axes or "-", own.unit or "-", own.meaning)
            for name, own in kind.result_class.quantities().items()
        ]
        table = _table(("Name", "Title", "Axes", "Unit", "Meaning"), rows)
        parts.append(f"### {kind.title} (`{kind.slug}`)\n\n{table}")
    return "\n\n".join(parts)


def columns() -> str:
    """Return the columns of the tables that SQL can read."""
    parts = []
    for name, table in Base.metadata.tables.items():
        rows = [(f"`{column.name}`", f"{column.type}") for column in table.columns]
        parts.append(f"### `{name}`\n\n{_table(('Column', 'Type'), rows)}")
    return "\n\n".join(parts)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "policies": ("methods.md", methods_table),
    "drafters": ("methods.md", catalogue),
    "options": ("options.md", options),
    "endpoints": ("http_mcp.md", endpoints),
    "quantities": ("columns.md", quantities),
    "columns": ("columns.md", columns),
}
"""By name: the page that holds it, and what it says."""


def shown(name: str) -> str:
    """Return a table as its page has it."""
    page = (DOCS / TABLES[name][0]).read_text(encoding="utf-8")
    return page.split(_begin(name))[1].split(_end(name))[0].strip()


def main() -> None:
    """Write every table anew."""
    for name, (file, made) in TABLES.items():
        page = (DOCS / file).read_text(encoding="utf-8")
        before, rest = page.split(_begin(name))
        after = rest.split(_end(name))[1]
        text = f"{before}{_begin(name)}\n{made()}\n{_end(name)}{after}"
        (DOCS / file).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{file}: {name}\n")


def _kinds() -> list:
    return [kind for kind in KINDS.all() if kind.compute.startswith("tokenarium.backend.")]


def _begin(name: str) -> str:
    return f"<!-- {name} -->"


def _end(name: str) -> str:
    return f"<!-- end of {name} -->"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = ([cell.replace("|", "/").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


if __name__ == "__main__":
    main()
