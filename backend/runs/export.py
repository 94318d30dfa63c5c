"""A run as files: JSON with every definition, a notebook, its tables as CSV and Parquet."""

import io
import zipfile
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import refuse_unknown
from tokenarium.backend.runs.tables import tables_of

FORMAT = "tokenarium-run-1"
MOST_NUMBERS = 10_000
"""Numbers of a quantity that is returned without being named."""
MOST_OF_ALL = 2**62
"""Numbers of a quantity, where all are returned."""
FORMULA = r"^([=+@\-\t\r])"
"""How a text begins that a spreadsheet takes for a formula, or may."""
TableFormat = Literal["csv", "parquet"]
Format = Literal["json", "csv", "parquet", "ipynb"]


def as_json(run: Run, *, everything: bool = False) -> str:
    """Return ``run`` as JSON; NaN becomes null, and each quantity carries its definition.

    ``missing`` names quantities without values: the version that stored the run did not measure
    them.

    Args:
        run: as computed or opened.
        everything: whether quantities of more than ``MOST_NUMBERS`` numbers, such as maps of
            attention, are written too; otherwise they are named in ``left_out`` with their shapes.
    """
    content = _content(run)
    large = {} if everything else _large(run, MOST_NUMBERS)
    content["values"] = {n: value for n, value in content["values"].items() if n not in large}
    return orjson.dumps({**content, "left_out": large}, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _large(run: Run, most: int) -> dict[str, list[int]]:
    """Return the shapes of the arrays of more than ``most`` numbers, by name."""
    return {name: list(a.shape) for name, a in run.result.arrays().items() if a.size > most}


def as_content(
    run: Run, quantities: Collection[str] = (), most: int = MOST_NUMBERS
) -> dict[str, Any]:
    """Return what ``as_json`` writes, without the quantities that are too large to be asked for.

    Args:
        run: as computed or opened.
        quantities: names of those to return, however large; none for all of at most ``most``
            numbers, the rest being named in ``left_out`` with their shapes.
        most: numbers of a quantity that nobody named.

    Raises:
        UserError: if a name is no quantity of this kind of run.
    """
    refuse_unknown(KINDS.find(run.request.kind), quantities)
    known = run.result.quantities()
    content = _content(run)
    arrays = run.result.arrays()
    large = {
        name: list(array.shape)
        for name, array in arrays.items()
        if (name not in quantities if quantities else array.size > most)
    }
    wanted = set(quantities) if quantities else set(known)
    content["values"] = {
        name: value
        for name, value in content["values"].items()
        if name in wanted and name not in large
    }
    content["definitions"] = {name: content["definitions"][name] for name in content["values"]}
    text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return {**orjson.loads(text), "left_out": large}


def as_tables(run: Run, format: TableFormat, table: str = "") -> bytes:  # noqa: A002
    """Return one table of ``run`` as a file, or all of them as a ZIP of such files.

    Args:
        run: as computed or opened.
        format: ``csv`` or ``parquet``.
        table: name of one; empty for all.

    Raises:
        UserError: if there is no such format or table.
    """
    if format not in get_args(TableFormat):
        raise UserError(f"format={format!r} is unknown: choose json, ipynb, csv or parquet")
    tables = tables_of(run.result)
    if table:
        if table not in tables:
            raise UserError(f"table={table!r} is none of this run: choose {', '.join(tables)}")
        return table_file(tables[table], format)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, rows in tables.items():
            file.writestr(f"{name}.{format}", table_file(rows, format))
    return packed.getvalue()


def as_file(run: Run, format: Format) -> bytes:  # noqa: A002
    """Return ``run`` as the content of a file, whole.

    Args:
        run: as computed or opened.
        format: what ``Run.save`` takes.
    """
    if format == "json":
        return as_json(run, everything=True).encode()
    if format == "ipynb":
        return run.notebook().encode()
    return as_tables(run, format)


def table_file(table: pa.Table, format: TableFormat) -> bytes:  # noqa: A002
    """Return a table as the content of a file.

    Raises:
        UserError: if the format is unknown, or has no way to write a column.
    """
    if format not in get_args(TableFormat):
        raise UserError(f"format={format!r} is unknown: choose csv or parquet")
    out = io.BytesIO()
    try:
        if format == "parquet":
            pyarrow.parquet.write_table(table, out)
        else:
            pyarrow.csv.write_csv(_without_formulas(_without_lists(table)), out)
    except pa.ArrowException as error:
        raise UserError(f"this table cannot be written as {format}: {error}") from error
    return out.getvalue()


def _without_lists(table: pa.Table) -> pa.Table:
    """Return the table with columns of lists written as JSON, which a CSV file can hold."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [
                orjson.dumps(value, default=str).decode()
                for value in table.column(place).to_pylist()
            ]
            table = table.set_column(place, field.name, pa.array(texts))
    return table


def _without_formulas(table: pa.Table) -> pa.Table:
    """Return the table with an apostrophe before each text that a spreadsheet would compute.

    Texts are tokens of whatever was read, and a run is opened by whoever has its link. Parquet and
    JSON have them as they are.
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            texts = pc.replace_substring_regex(table.column(place), FORMULA, r"'\1")
            table = table.set_column(place, field.name, texts)
    return table


def _content(run: Run) -> dict[str, Any]:
    result = run.result
    return {
        "format": FORMAT,
        "id": run.id,
        "kind": run.request.kind,
        "created": run.created.isoformat(),
        "duration_ms": run.duration_ms,
        "request": run.request.model_dump(mode="json"),
        "environment": run.environment,
        "definitions": {name: asdict(q) for name, q in result.quantities().items()},
        "missing": result.missing,
        "values": result.facts() | {name: _plain(a) for name, a in result.arrays().items()},
    }


def _plain(array: NDArray[Any]) -> Any:
    """Return what JSON can hold: numbers, or the columns of a table by name."""
    if array.dtype.names is None:
        return np.ascontiguousarray(array)
    return {name: np.ascontiguousarray(array[name]) for name in array.dtype.names}
