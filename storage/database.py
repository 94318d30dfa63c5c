"""Opening a database: never the wrong file, never a changed byte in a file that is not ours."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tokenarium.storage.errors import StoreUnavailable
from tokenarium.storage.lockdown import LOCKED_DOWN
from tokenarium.storage.schema import SCHEMA_VERSION, Base
from tokenarium.storage.upgrade import copy_beside, migrate, older_than

MAGIC = b"DUCK"
MAGIC_OFFSET = 8
PAGE_CACHE = "256MB"
"""Most of a database file that DuckDB keeps in memory; without it, as much as 80 % of the machine's
holds. Opening one of 150 runs of 3 MB took no longer with it. What a transaction needs beyond goes
to a folder beside the file."""


@dataclass(frozen=True)
class Database:
    """An open database; ``duck`` is DuckDB's own connection where that is the database."""

    engine: Engine
    duck: duckdb.DuckDBPyConnection | None
    upgraded: str = ""
    """What was done to tables of an older release, in a sentence; empty where nothing was."""

    def close(self) -> None:
        self.engine.dispose()
        if self.duck is not None:
            self.duck.close()


def open_database(url: str) -> Database:
    """Open the database at ``url`` and create the tables where there are none.

    Tables of an older release are brought up to date in one transaction, those of a DuckDB file
    after a copy of it beside it; databases that have no such transactions are refused.

    Args:
        url: SQLAlchemy URL; ``duckdb:///FILE`` and ``duckdb:///:memory:`` need no server.
    Raises: StoreUnavailable if it is locked, foreign, corrupt or of a newer version, or cannot be
        brought up to date; nothing in it is changed then.
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
    older = copy = None
    if path != ":memory:":
        older, copy = _look_into(Path(path))
    bounded = {} if path == ":memory:" else {"memory_limit": PAGE_CACHE}
    root = _connect(path, config={**bounded, **url.query, **LOCKED_DOWN})

    def new_connection() -> Any:
        from duckdb_engine import ConnectionWrapper

        return ConnectionWrapper(root.cursor())

    engine = create_engine("duckdb://", creator=new_connection, poolclass=QueuePool)
    database = Database(engine, root)
    try:
        if older is not None:
            return Database(engine, root, _upgrade(engine, path, older, copy))
        _create_if_new(engine, root.execute("SELECT count(*) FROM duckdb_tables()").fetchall())
    except BaseException:
        database.close()
        raise
    return database


def _look_into(path: Path) -> tuple[str | None, Path | None]:
    """Refuse a file that is not ours; copy one of an older version, and return both."""
    if not path.exists():
        if not path.parent.is_dir():
            raise StoreUnavailable(f"database {path}: the folder {path.parent} does not exist")
        return None, None
    try:
        with path.open("rb") as file:
            head = file.read(MAGIC_OFFSET + len(MAGIC))
    except OSError as error:
        raise StoreUnavailable(f"database {path} cannot be read: {error.strerror}") from error
    if head[MAGIC_OFFSET:] != MAGIC:
        raise StoreUnavailable(
            f"{path} is not a DuckDB database: choose another --database, or move the file away"
        )
    # Opened for reading only, a file keeps every byte, also when a log waits to be replayed, and
    # nobody else can write it while it is copied.
    connection = _connect(str(path), read_only=True)
    try:
        rows = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        older = _check_tables(str(path), {name for (name,) in rows}, connection.execute)
        return older, copy_beside(path, older) if older is not None else None
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


def _check_tables(place: str, tables: set[str], execute: Callable[[str], Any]) -> str | None:
    """Refuse what is not ours or newer; return the version of tables that are older."""
    ours = set(Base.metadata.tables)
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StoreUnavailable(
            f"{place} belongs to another program: it has tables {_some(tables)}, and none of "
            "Tokenarium's version: choose another --database"
        )
    versions = [row[0] for row in execute("SELECT version_num FROM alembic_version").fetchall()]
    if len(versions) == 1 and versions[0] in older_than(SCHEMA_VERSION):
        return str(versions[0])
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
    return None


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")


def _open_other(url: URL) -> Database:
    place = url.render_as_string(hide_password=True)
    try:
        engine = _engine(url)
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            ours = tables & {*Base.metadata.tables, "alembic_version"}
            older = _check_tables(place, ours, lambda sql: connection.execute(text(sql)))
        if older is not None:
            if engine.dialect.name != "postgresql":
                raise StoreUnavailable(
                    f"{place} has schema version {older}, and this release reads {SCHEMA_VERSION}: "
                    "only DuckDB and PostgreSQL change tables in one transaction, so nothing was "
                    "changed: open it with the release that wrote it, or choose another --database"
                )
            return Database(engine, None, _upgrade(engine, place, older, None))
        _create_if_new(engine, [(len(ours),)])
    except (SQLAlchemyError, ImportError) as error:
        raise StoreUnavailable(f"database {place} cannot be opened: {error}") from error
    return Database(engine, None)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        return create_engine(url)
    from tokenarium.storage.server import engine_of

    return engine_of(url)


def _upgrade(engine: Engine, place: str, older: str, copy: Path | None) -> str:
    """Bring tables up to date and say so; a failure leaves them as they were."""
    try:
        with engine.begin() as connection:
            migrate(connection)
    except Exception as error:
        kept = "" if copy is None else f", and a copy is in {copy}"
        raise StoreUnavailable(
            f"{place} could not be brought from schema version {older} to {SCHEMA_VERSION} and was "
            f"left as it was{kept}: open it with the release that wrote it, or choose another "
            f"--database ({str(error).splitlines()[0]})"
        ) from error
    before = "" if copy is None else f"; as it was before it is kept in {copy}"
    said = f"{place} was brought from schema version {older} to {SCHEMA_VERSION}{before}"
    logging.getLogger(__name__).warning(said)
    return said


def _create_if_new(engine: Engine, count: list[tuple[int]]) -> None:
    if count == [(0,)]:
        with engine.begin() as connection:
            migrate(connection)
