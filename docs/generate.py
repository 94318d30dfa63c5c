"""Write the tables of these documents from the program's declarations: ``python docs/generate.py``.

A table stands between two comments, ``<!-- NAME -->`` and ``<!-- end of NAME -->``; a test compares
each with what is declared.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tokenarium.backend.cache.catalogue import methods_table
from tokenarium.backend.decoding.catalogue import strategies_table
from tokenarium.backend.judging.catalogue import measures_table
from tokenarium.backend.runs.kind import KINDS, Kind
from tokenarium.backend.settings import Settings
from tokenarium.backend.speculation.catalogue import catalogue
from tokenarium.backend.speculation.families import families_table
from tokenarium.backend.trace.result import TraceResult
from tokenarium.storage.schema import Base

DOCS = Path(__file__).resolve().parent

_DEFAULTS = {
    "cache_dir": "~/.cache/tokenarium",
    "data_dir": "none",
    "database": "duckdb:///runs.duckdb",
    "fetch": "on",
    "hosted": "off",
    "host": "127.0.0.1",
    "port": 7860,
    "behind_proxy": "off",
    "sign_in": "off",
    "telemetry": "none",
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
        rows = [
            (f"`{column.name}`", f"{column.type}", _meaning(name, column.name))
            for column in table.columns
        ]
        parts.append(f"### `{name}`\n\n{_table(('Column', 'Type', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def _meaning(table: str, column: str) -> str:
    """Return what a column holds: stated here, or as the trace defines its quantity."""
    stated = COLUMNS.get((table, column)) or COLUMNS.get(("", column))
    return stated or TraceResult.quantities()[column].formula


COLUMNS = {
    ("", "run_id"): "`id` of the run",
    ("runs", "id"): "name of the run, as in its address",
    ("runs", "kind"): "slug of the kind of run, such as `trace`",
    ("runs", "key"): "content address: hash of request, model files and version of the meanings",
    ("runs", "model"): "name of the model, as asked",
    ("runs", "text"): "text that was read, as asked; turns of a conversation together",
    ("runs", "created"): "when it was stored, UTC",
    ("runs", "duration_ms"): "wall time of computing, ms; waiting and loading left out",
    ("runs", "request"): "every field of the request",
    ("runs", "facts"): "quantities of the result that are single values",
    (
        "runs",
        "environment",
    ): "device, number format, versions, commit, schema version",
    ("runs", "owner"): "empty for shared runs; in hosted mode whose it is: `you` to its visitor",
    ("runs", "pinned"): "whether its arrays stay when space runs out",
    ("runs", "array_bytes"): "bytes of its arrays as stored, compressed",
    ("runs", "arrays_dropped"): "whether its arrays were dropped because space ran out",
    ("runs", "note"): "what somebody wrote beside it; empty, or NULL in older rows, for nothing",
    ("classes", "code"): "what students type to join",
    ("classes", "secret"): "SHA-256 of the secret that opens the teacher's table",
    ("classes", "title"): "what the teacher called it",
    ("classes", "created"): "when it was begun; it is deleted 14 days later",
    ("class_members", "code"): "the class",
    ("class_members", "member"): "the student's number, from 1 on",
    ("class_members", "student"): "SHA-256 of the code and the private name of the browser",
    ("class_passes", "code"): "the class",
    ("class_passes", "member"): "the student's number",
    ("class_passes", "lesson"): "slug of a lesson",
    ("class_passes", "step"): "number of the step that was passed, from 1 on",
    ("class_passes", "passed"): "when it was passed first",
    ("tags", "tag"): "a word that somebody gave the run, by which it is found",
    ("methods", "family"): "policy, drafter, rule, intervention, task, segmenter or reduction",
    ("methods", "method"): "slug of a method of this family that the run uses",
    ("tokens", "position"): "t, from 0",
    ("tokens", "token_id"): "the tokenizer's number of token t",
    ("tokens", "token"): "the token decoded alone; bytes that are no whole character as <0xNN>",
    ("tokens", "char_start"): "first code point of the text that the token stands for",
    ("tokens", "char_stop"): "one past its last code point; equal to char_start for special tokens",
    ("tokens", "token_rank"): TraceResult.quantities()["rank"].formula,
    ("tokens", "received_mass"): "mean over layers and heads of: "
    + TraceResult.quantities()["received_mass"].formula,
    ("tokens", "residual_norm"): "Euclidean norm of the residual stream before the final norm",
    ("tokens", "turn"): "number of its turn in a conversation; -1 without; NULL in older rows",
    ("tokens", "turn_role"): "who says that turn: system, user or assistant",
    ("head_metrics", "layer"): "layer, from 0",
    ("head_metrics", "head"): "query head, from 0",
    ("head_metrics", "attention_entropy_nats"): "mean over queries i of: "
    + TraceResult.quantities()["attention_entropy_nats"].formula,
    ("head_metrics", "attention_distance"): "mean over queries i of: "
    + TraceResult.quantities()["attention_distance"].formula,
    ("arrays", "name"): "name of the quantity",
    ("arrays", "dtype"): "NumPy's name of the number format",
    ("arrays", "shape"): "length of each axis",
    ("arrays", "codec"): "how the bytes are compressed",
    ("arrays", "stored_bytes"): "compressed bytes",
    ("parts", "name"): "name of the quantity; empty for facts that are no single values",
    ("parts", "part"): "number of the part, from 0",
    ("parts", "data"): "compressed bytes of the part",
    ("files", "path"): "file of a model",
    ("files", "size"): "bytes",
    ("files", "mtime_ns"): "when it was changed last, ns",
    ("files", "digest"): "SHA-256 of its content then",
}
"""What columns hold, by table and name; the others are quantities of a trace."""

TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "policies": ("methods.md", methods_table),
    "drafters": ("methods.md", catalogue),
    "families": ("methods.md", families_table),
    "strategies": ("methods.md", strategies_table),
    "measures": ("methods.md", measures_table),
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


def _kinds() -> list[Kind]:
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
