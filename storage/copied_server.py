"""Where the copies of the query door come from: PostgreSQL, read by a role that reads only."""

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Double,
    Engine,
    Integer,
    Select,
    Table,
    Text,
    case,
    cast,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import SQLAlchemyError

from tokenarium.storage.copied import BATCH_ROWS, PACKED, VISIBLE, incoming
from tokenarium.storage.errors import QueryRefused
from tokenarium.storage.lockdown import LOCKED_DOWN
from tokenarium.storage.schema import Base, RunRow, UtcDateTime

_ARROW: dict[type[Any], pa.DataType] = {
    Text: pa.string(),
    JSON: pa.string(),
    UtcDateTime: pa.timestamp("us"),
    Double: pa.float64(),
    REAL: pa.float32(),
    Boolean: pa.bool_(),
    Integer: pa.int32(),
    BigInteger: pa.int64(),
}
_LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""


class ServerSource:
    """A PostgreSQL database, which other replicas may change at any time.

    No statement of a visitor reaches it: what is copied is chosen here, in one read-only
    transaction of a role that may read and do nothing else, and queries run on the copy, in
    DuckDB's dialect.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._granting = threading.Lock()
        self._granted = False

    @cached_property
    def _parser(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(":memory:", config=LOCKED_DOWN)

    @property
    def role(self) -> str:
        """Name of the role that reads."""
        name = f"{self._engine.url.database}_reader".replace('"', "")
        return name.encode()[-_LONGEST_NAME:].decode(errors="ignore")

    def judge(self) -> duckdb.DuckDBPyConnection:
        """Return a cursor of an empty database in memory."""
        return self._parser.cursor()

    def version(self) -> str:
        """Return the server's snapshot, which every commit and every open transaction changes."""
        try:
            with self._engine.connect() as connection:
                return _snapshot(connection)
        except SQLAlchemyError as error:
            raise QueryRefused(f"the database does not answer: {_said(error)}") from error

    def fill(self, copy: duckdb.DuckDBPyConnection, owner: str | None) -> str:
        """Copy the tables as they are at one moment.

        Raises: QueryRefused if the role can neither be found nor made, or the server fails.
        """
        try:
            self._grant()
            reading = self._engine.connect().execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            with reading as connection:
                connection.execute(text(f'SET LOCAL ROLE "{self.role}"'))
                version = _snapshot(connection)
                for table in Base.metadata.sorted_tables:
                    if owner is None or table.name in VISIBLE:
                        _copy(connection, copy, table, owner)
        except SQLAlchemyError as error:
            raise QueryRefused(f"the tables could not be copied for it: {_said(error)}") from error
        return version

    def _grant(self) -> None:
        """Make the role, once a process; replicas that begin together take turns."""
        with self._granting:
            if self._granted:
                return
            role = f'"{self.role}"'
            try:
                with self._engine.begin() as connection:
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(hashtext(:n))"), {"n": role}
                    )
                    known = text("SELECT 1 FROM pg_roles WHERE rolname = :name")
                    if connection.scalar(known, {"name": self.role}) is None:
                        connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
                        connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
                    for table in Base.metadata.sorted_tables:
                        columns = ", ".join(f'"{each.name}"' for each in _columns(table))
                        grant = f'GRANT SELECT ({columns}) ON "{table.name}" TO {role}'
                        connection.execute(text(grant))
            except SQLAlchemyError as error:
                raise QueryRefused(
                    f"queries need the role {role}, which cannot be made here ({_said(error)}): "
                    f"let an administrator run CREATE ROLE {role} NOLOGIN and grant it to this user"
                ) from error
            self._granted = True


def _snapshot(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT pg_current_snapshot()::text")))


def _said(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _columns(table: Table) -> list[Column[Any]]:
    return [each for each in table.columns if (table.name, each.name) != (PACKED, "data")]


def _rows(table: Table, owner: str | None) -> Select[Any]:
    """Return what is copied of a table, in the order of ``_columns``."""
    columns: list[Any] = []
    for column in _columns(table):
        if isinstance(column.type, JSON):
            columns.append(cast(column, Text))
        elif isinstance(column.type, UtcDateTime):
            columns.append(type_coerce(column, DateTime()))
        elif owner is not None and (table.name, column.name) == ("runs", "owner"):
            columns.append(case((column == "", literal("")), else_=literal("you")))
        else:
            columns.append(column)
    found = select(*columns)
    if owner is None:
        return found
    if table.name != "runs":
        found = found.join(RunRow.__table__, table.c.run_id == RunRow.id)
    return found.where(RunRow.owner.in_(("", owner)))


def _copy(
    connection: Connection, copy: duckdb.DuckDBPyConnection, table: Table, owner: str | None
) -> None:
    columns = _columns(table)
    schema = pa.schema([(each.name, _ARROW[type(each.type)]) for each in columns])
    streamed = connection.execution_options(yield_per=BATCH_ROWS).execute(_rows(table, owner))

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in streamed.partitions():
            values = [
                pa.array(each, field.type)
                for each, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(values, schema=schema)

    with incoming(copy, pa.RecordBatchReader.from_batches(schema, batches())):
        copy.execute(f'CREATE TABLE "{table.name}" AS SELECT * FROM incoming')  # noqa: S608
