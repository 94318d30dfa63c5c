"""Opening a database: never the wrong file, never a changed byte in a file that is not ours."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tokenarium.storage.errors import StoreUnavailable
from tokenarium.storage.lockdown import LOCKED_DOWN
from tokenarium.storage.schema import SCHEMA_VERSION, Base

MAGIC = b"DUCK"
MAGIC_OFFSET = 8


@dataclass(frozen=True)
class Database:
    """An open database; ``duck`` is DuckDB's own connection where that is the database."""

    engine: Engine
    duck: duckdb.DuckDBPyConnection | None

    def close(self) -> None:
        self.engine.dispose()
        if self.duck is not None:
            self.duck.close()


def open_database(url: str) -> Database:
    """Open the database at ``url`` and create the tables where there are none.

    Args:
        url: SQLAlchemy URL; ``duckdb:///FILE`` and ``duckdb:///:memory:`` need no server.
    Raises: StoreUnavailable if it is locked, foreign, corrupt or of another version; nothing in it
        is changed then.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUnavailable(
            f"database={url!r} is not a SQLAlchemy URL: write duckdb:///runs.duckdb"
        ) from error
    return _open_duckdb(parsed) if parsed.get_backend_name() == "duckdb" else _open_other(parsed)


def _open_duckdb(url: URL) -> Database:
    path = url.database or ":memory:"
    if path != ":memory:":
        _refuse_foreign_file(Path(path))
    root = _connect(path, config={**url.query, **LOCKED_DOWN})

    def new_connection() -> Any:
        from duckdb_engine import ConnectionWrapper

        return ConnectionWrapper(root.cursor())

    engine = create_engine("duckdb://", creator=new_connection, poolclass=QueuePool)
    database = Database(engine, root)
    try:
        _create_if_new(engine, root.execute("SELECT count(*) FROM duckdb_tables()").fetchall())
    except BaseException:
        database.close()
        raise
    return database


def _refuse_foreign_file(path: Path) -> None:
    if not path.exists():
        if not path.parent.is_dir():
            raise StoreUnavailable(f"database {path}: the folder {path.parent} does not exist")
        return
    try:
        with path.open("rb") as file:
            head = file.read(MAGIC_OFFSET + len(MAGIC))
    except OSError as error:
        raise StoreUnavailable(f"database {path} cannot be read: {error.strerror}") from error
    if head[MAGIC_OFFSET:] != MAGIC:
        raise StoreUnavailable(
            f"{path} is not a DuckDB database: choose another --database, or move the file away"
        )
    # Opened for reading only, a file keeps every byte, also when a log waits to be replayed.
    connection = _connect(str(path), read_only=True)
    try:
        rows = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        _check_tables(str(path), {name for (name,) in rows}, connection.execute)
    except duckdb.Error as error:
        raise _unreadable(str(path), error) from error
    finally:
        connection.close()


def _connect(path: str, **options: Any) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, **options)
    except duckdb.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> StoreUnavailable:
    reason = str(error).splitlines()[0]
    if "Could not set lock" in reason:
        return StoreUnavailable(
            f"{path} is in use by another process: stop that one, or choose another --database "
            f"({reason})"
        )
    if isinstance(error, duckdb.ConnectionException):
        return StoreUnavailable(
            f"{path} is open in this process already: use that RunStore, or close it ({reason})"
        )
    return StoreUnavailable(
        f"{path} cannot be opened; it was left as it is: restore it from a copy, or choose another "
        f"--database ({reason})"
    )


def _check_tables(place: str, tables: set[str], execute: Callable[[str], Any]) -> None:
    ours = set(Base.metadata.tables)
    if not tables:
        return
    if "alembic_version" not in tables:
        raise StoreUnavailable(
            f"{place} belongs to another program: it has tables {_some(tables)}, and none of "
            "Tokenarium's version: choose another --database"
        )
    versions = [row[0] for row in execute("SELECT version_num FROM alembic_version").fetchall()]
    if versions != [SCHEMA_VERSION]:
        raise StoreUnavailable(
            f"{place} has schema version {', '.join(versions) or 'none'}, and this release reads "
            f"{SCHEMA_VERSION}: open it with the release that wrote it, or choose another "
            "--database"
        )
    if ours - tables:
        raise StoreUnavailable(
            f"{place} lacks the tables {_some(ours - tables)}: restore it from a copy, or choose "
            "another --database"
        )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")


def _open_other(url: URL) -> Database:
    place = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            ours = tables & {*Base.metadata.tables, "alembic_version"}
            _check_tables(place, ours, lambda sql: connection.execute(text(sql)))
        _create_if_new(engine, [(len(ours),)])
    except (SQLAlchemyError, ImportError) as error:
        raise StoreUnavailable(f"database {place} cannot be opened: {error}") from error
    return Database(engine, None)


def _create_if_new(engine: Engine, count: list[tuple[int]]) -> None:
    if count == [(0,)]:
        with engine.begin() as connection:
            _migrate(connection)


def _migrate(connection: Connection) -> None:
    # Alembic is imported here only: an existing database opens without it.
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    if connection.dialect.name == "postgresql":
        # Replicas that start together wait here, and all but the first find the work done.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('tokenarium schema'))"))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
