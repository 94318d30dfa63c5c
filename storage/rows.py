"""Writing many rows at once."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlalchemy import REAL, Connection, Integer, Table, Text, insert

from tokenarium.storage.schema import ROW_TABLES

ARROW_TYPES = {Integer: pa.int32(), REAL: pa.float32(), Text: pa.string()}


def check_tables(tables: Mapping[str, pa.Table]) -> None:
    """Raise ValueError unless every table and column is declared and every key column is there."""
    for name, table in tables.items():
        if name not in ROW_TABLES:
            raise ValueError(f"table {name!r} is not declared: use one of {sorted(ROW_TABLES)}")
        columns = {column.name: column for column in ROW_TABLES[name].columns}
        del columns["run_id"]
        if unknown := set(table.column_names) - set(columns):
            raise ValueError(
                f"table {name!r} has undeclared columns {sorted(unknown)}: use {sorted(columns)}"
            )
        needed = {column.name for column in columns.values() if not column.nullable}
        if missing := needed - set(table.column_names):
            raise ValueError(f"table {name!r} lacks the columns {sorted(missing)}: add them")


def insert_table(connection: Connection, name: str, run_id: str, table: pa.Table) -> None:
    """Insert checked rows, NaN as NULL, within the transaction of ``connection``."""
    target = ROW_TABLES[name]
    columns: dict[str, Any] = {"run_id": pa.repeat(run_id, table.num_rows)}
    for column in table.column_names:
        kind = ARROW_TYPES[type(target.columns[column].type)]
        columns[column] = _without_nan(table[column].cast(kind))
    _insert(connection, target, pa.table(columns))


def insert_rows(connection: Connection, target: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows given as dictionaries within the transaction of ``connection``."""
    if rows:
        _insert(connection, target, pa.Table.from_pylist(rows))


def _insert(connection: Connection, target: Table, table: pa.Table) -> None:
    if connection.dialect.name == "postgresql":
        from tokenarium.storage.server import copy_rows

        copy_rows(connection, target, table)
        return
    if connection.dialect.name != "duckdb":
        if table.num_rows:
            connection.execute(insert(target), table.to_pylist())
        return
    # DuckDB reads Arrow in place; row by row it takes a hundred times as long.
    duck: Any = connection.connection.dbapi_connection
    names = ", ".join(table.column_names)
    duck.register("incoming", table)
    try:
        duck.execute(f"INSERT INTO {target.name} ({names}) SELECT {names} FROM incoming")  # noqa: S608
    finally:
        duck.unregister("incoming")


def _without_nan(column: Any) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pa.array(column.to_numpy(), column.type, from_pandas=True)
