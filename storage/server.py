"""What is particular to PostgreSQL: its connections, text without NUL, and many rows at once."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

SHOWN_NUL = "\N{SYMBOL FOR NULL}"
"""Stands for NUL, which no text of PostgreSQL can hold; what a run was asked and found is JSON, and
has it still."""
_CONNECTIONS = {"pool_size": 10, "max_overflow": 20, "pool_pre_ping": True}
"""One for each thread that reads or writes, and one for each run that is computed."""


def engine_of(url: URL) -> Engine:
    """Return an engine whose connections are looked at before use, as a server may be restarted."""
    engine = create_engine(url, **_CONNECTIONS)
    event.listen(engine, "before_cursor_execute", _without_nul, retval=True)
    return engine


def copy_rows(connection: Connection, target: Table, table: pa.Table) -> None:
    """Insert rows by COPY, within the transaction of ``connection``."""
    import psycopg

    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(table.schema.field(name).type):
            column = pc.replace_substring(column, "\0", SHOWN_NUL)
        columns.append(column.to_pylist())
    names = ", ".join(f'"{name}"' for name in table.column_names)
    driver: Any = connection.connection.dbapi_connection
    statement = f'COPY "{target.name}" ({names}) FROM STDIN'
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in zip(*columns, strict=True):
                copy.write_row(row)
    except psycopg.Error as error:
        raise OperationalError(statement, None, error) from error


def _without_nul(
    connection: Connection,  # noqa: ARG001
    cursor: Any,  # noqa: ARG001
    statement: str,
    parameters: Any,
    context: Any,  # noqa: ARG001
    executemany: bool,  # noqa: ARG001
) -> tuple[str, Any]:
    return statement, _cleaned(parameters)


def _cleaned(given: Any) -> Any:
    if isinstance(given, str):
        return given.replace("\0", SHOWN_NUL)
    if isinstance(given, dict):
        return {name: _cleaned(value) for name, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(_cleaned(value) for value in given)
    return given
