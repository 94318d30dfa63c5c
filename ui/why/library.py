"""What opens at numbers of the Library: of the list, of what the store holds, of a query's rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokenarium.backend import Lab, ListedRun, StoreContents
from tokenarium.ui.figures.query import drawn_rows
from tokenarium.ui.why.answer import Answer, AnswerNumber

_LAB = ("from tokenarium import Lab", "", "lab = Lab()")
SIZES = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}
TIMES = {"ms": 1, "s": 1_000, "min": 60_000}
_OWN = "Lab() has the runs of its own machine; a list changes with what is stored since."


def _in(units: Mapping[str, int], name: str, value: str, title: str, meaning: str) -> Any:
    """Return one number by unit; ``value`` is Python for it in the smallest."""
    return {
        f"{name}_{unit}": AnswerNumber(
            title, meaning, value + (f" / {count}" if count > 1 else ""), unit
        )
        for unit, count in units.items()
    }


LISTED = {
    "found": AnswerNumber("runs found", "All that fulfil the filters.", "count", "runs"),
    **_in(
        TIMES,
        "took",
        "found[{0}].duration_ms",
        "time of computing",
        "Wall time; waiting and loading of the model are left out.",
    ),
    **_in(
        SIZES,
        "arrays",
        "found[{0}].array_bytes",
        "bytes of its arrays",
        "Compressed, as they are stored.",
    ),
}
HELD = {
    "runs": AnswerNumber("stored runs", "Of every kind.", "found.runs", "runs"),
    "share": AnswerNumber(
        "share of what may be kept",
        "Compressed bytes of all arrays over the limit of the store (--database-limit-mb).",
        "found.array_bytes / (lab.settings.database_limit_mb * 2**20)",
    ),
    "kind_runs": AnswerNumber("runs of the kind", "How many are stored.", "found.kinds[{0}].runs"),
    "kind_dropped": AnswerNumber(
        "runs whose arrays are gone",
        "Of this kind, dropped because space ran out.",
        "found.kinds[{0}].dropped",
    ),
    **_in(SIZES, "held", "found.array_bytes", "bytes of all arrays", "Compressed, as stored."),
    **_in(SIZES, "file", "found.file_bytes", "size of the database", "Of its file on the disk."),
    **_in(
        SIZES,
        "kind",
        "found.kinds[{0}].array_bytes",
        "bytes of the kind's arrays",
        "Compressed, as they are stored.",
    ),
}


def of_list(
    runs: Sequence[ListedRun], count: int, wanted: Mapping[str, Any], limit: int, offset: int
) -> Answer:
    """Return a page of the list as an answer; ``wanted`` are its filters."""
    told = "".join(f"{name}={value!r}, " for name, value in wanted.items())
    lines = (
        *_LAB,
        f"found = lab.search({told}limit={limit}, offset={offset})",
        f"count = lab.count({told.removesuffix(', ')})",
    )
    return Answer(LISTED, lambda: {"found": runs, "count": count}, lines, _OWN)


def of_contents(lab: Lab, held: StoreContents) -> Answer:
    """Return what the store holds as an answer."""
    return Answer(
        HELD, lambda: {"found": held, "lab": lab}, (*_LAB, "found = lab.contents()"), _OWN
    )


def _quoted(sql: str) -> str:
    """Return a query as Python, on lines of its own where it has several."""
    plain = sql.isprintable() or sql.replace("\n", "").isprintable()
    if "\n" not in sql or not plain or any(sign in sql for sign in ('"""', "\\")) or sql[-1] == '"':
        return repr(sql)
    return f'"""{sql}"""'


def of_query(sql: str, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Answer:
    """Return the rows of a query as an answer.

    Args:
        sql: the query.
        names: of its columns.
        columns: what is kept of them: rows that are shown; empty for one without numbers.
    """
    numbers = {
        f"column_{place}": AnswerNumber(
            names[place] or f"column {place}",
            "As the query computes it, in the row counted from 0; columns of the tables are "
            "defined in docs/columns.md.",
            f"columns[{place}][{{0}}]",
            axes="[column][row]",
        )
        for place, column in enumerate(columns)
        if column
    }
    lines = (
        *_LAB,
        f"found = lab.query({_quoted(sql)})",
        "columns = [column.to_pylist() for column in found.columns]",
    )
    return Answer(numbers, lambda: {"columns": columns}, lines, _OWN)


def of_drawn(
    query: Answer,
    names: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    chosen: Mapping[str, str],
) -> Answer:
    """Return the figure of a query as an answer: each point is a row of two of its columns.

    Args:
        query: as ``of_query`` returned it.
        names: of its columns, as they are told apart on the page.
        columns: by name, at least those that are drawn.
        chosen: ``x``, ``y`` and ``colour``.
    """
    sides = {key: names.index(chosen[key]) for key in ("x", "y")}
    points = {
        f"figure_{key} {trace}": (f"column_{place}", rows)
        for trace, rows in enumerate(drawn_rows(columns, chosen["y"], chosen["colour"]).values())
        for key, place in sides.items()
    }
    found = {place: columns[names[place]] for place in sides.values()}
    return replace(query, values=lambda: {"columns": found}, points=points)
