"""Where the copies of the query door come from: an open DuckDB database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import duckdb
import pyarrow as pa

VISIBLE = {
    # The private name of a visitor is in no copy: a result may be handed on.
    "runs": "SELECT * REPLACE (CASE owner WHEN '' THEN '' ELSE 'you' END AS owner) FROM runs "
    "WHERE owner IN ('', $owner)",
    **{
        name: f"SELECT {name}.* FROM {name} JOIN runs ON run_id = id "  # noqa: S608
        "WHERE owner IN ('', $owner)"
        for name in ("tokens", "head_metrics", "tags", "methods")
    },
}
"""Tables a visitor sees, and what is copied into them for one; of nobody, the shared runs."""
PACKED = "parts"
"""Table whose column ``data``, the bytes of arrays, is not copied."""
BATCH_ROWS = 100_000
"""Rows that are copied at once."""


class Source(Protocol):
    """A database whose tables are copied for queries."""

    def judge(self) -> duckdb.DuckDBPyConnection:
        """Return a connection whose parser judges a statement; nothing is run on it."""

    def version(self) -> str:
        """Return what differs once another process may have changed anything."""

    def fill(self, copy: duckdb.DuckDBPyConnection, owner: str | None) -> str:
        """Copy the tables for a visitor, nobody (an empty name) or the host (None).

        Returns: the version that was copied.
        """


class DuckSource:
    """An open DuckDB database, which no other process can change.

    Args:
        connection: to it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def judge(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor of the database."""
        return self._connection.cursor()

    def version(self) -> str:
        """Return a constant: what changes is said by ``QueryDoor.forget``."""
        return ""

    def fill(self, copy: duckdb.DuckDBPyConnection, owner: str | None) -> str:
        """Copy the tables as they are at one moment."""
        tables = self._everything() if owner is None else VISIBLE
        values = None if owner is None else {"owner": owner}
        cursor = self._connection.cursor()
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        for name, rows in tables.items():
            reader = cursor.sql(rows, params=values).to_arrow_reader(BATCH_ROWS)
            with incoming(copy, reader):
                copy.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608
        cursor.close()
        return ""

    def _everything(self) -> dict[str, str]:
        """Return every table, and what is copied of it."""
        cursor = self._connection.cursor()
        names = cursor.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        cursor.close()
        return {
            name: f'SELECT * {"EXCLUDE (data) " if name == PACKED else ""}FROM "{name}"'
            for (name,) in names
        }


@contextmanager
def incoming(copy: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader) -> Iterator[None]:
    """Let rows be read as the table ``incoming``."""
    copy.register("incoming", reader)
    try:
        yield
    finally:
        copy.unregister("incoming")
