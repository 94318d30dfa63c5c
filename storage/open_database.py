"""A database that is opened again where a failure has ended it, such as that of a full disk."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import duckdb
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from tokenarium.storage.copied import DuckSource, Source
from tokenarium.storage.database import Database, open_database
from tokenarium.storage.door import QueryDoor
from tokenarium.storage.errors import DatabaseFailed, DatabaseGone, StoreUnavailable
from tokenarium.storage.replicas import alone_with
from tokenarium.storage.shared_limits import SharedLimits

Answer = TypeVar("Answer")
Door = Callable[[Source], QueryDoor]
_NO_CONNECTION = ("08", "57P")
"""Beginnings of PostgreSQL's SQLSTATE: connection exceptions, and a server that is shut down."""


class OpenDatabase:
    """The open database of a store and its query door. Thread-safe.

    DuckDB answers nothing any more once a checkpoint has failed ("database has been invalidated"):
    what was committed is in the file and its log, and is there again when both are opened anew.

    Args:
        url: SQLAlchemy URL.
        door: makes the query door of a database whose tables can be copied.
    Raises: StoreUnavailable as ``open_database`` does.
    """

    def __init__(self, url: str, door: Door) -> None:
        self._url, self._make_door = url, door
        self._lock = threading.RLock()
        self._closed = False
        self._limits = SharedLimits()
        self._now: Database | None = open_database(url)
        self._door = self._new_door()
        self.upgraded = self._now.upgraded
        self.dialect = self._now.engine.dialect.name
        path = make_url(url).database if self.dialect in ("duckdb", "sqlite") else None
        self._file = None if path in (None, "", ":memory:") else Path(str(path))

    @property
    def door(self) -> QueryDoor | None:
        """The query door; None where the database has none."""
        self._database()
        return self._door

    @property
    def file_bytes(self) -> int | None:
        """Size of the database's file and its log; None where it is no file of this machine."""
        if self._file is None or not self._file.exists():
            return None
        log = self._file.with_name(f"{self._file.name}.wal")
        return self._file.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def read(self, work: Callable[[Connection], Answer]) -> Answer:
        """Return what ``work`` returns of a connection; it is done twice where the first fails.

        Raises: DatabaseFailed, of which DatabaseGone.
        """
        try:
            return self._read(work)
        except DatabaseFailed as error:
            if not error.reopened:
                raise
            return self._read(work)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Lend a connection whose changes are kept together, or not at all.

        Raises: DatabaseFailed.
        """
        database = self._database()
        with self._failing(database), database.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone_with(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Let no other replica be in here with the same key; see ``alone_with``."""
        with alone_with(self._database().engine, key, waiting):
            yield

    def take_place(self, name: str, most: int) -> Callable[[], None] | None:
        """Take one of few places that all replicas share; see ``SharedLimits``."""
        try:
            engine = self._database().engine
        except StoreUnavailable:
            return lambda: None
        return self._limits.take(engine, name, most)

    def close(self) -> None:
        """Close the database for good."""
        self._limits.close()
        with self._lock:
            self._closed = True
            self._shut()

    def _read(self, work: Callable[[Connection], Answer]) -> Answer:
        database = self._database()
        with self._failing(database), database.engine.connect() as connection:
            return work(connection)

    @contextmanager
    def _failing(self, database: Database) -> Iterator[None]:
        """Turn what the database raises into words, after opening it again where that is needed."""
        try:
            yield
        except IntegrityError:
            raise
        except (SQLAlchemyError, duckdb.Error) as error:
            if _is_lost(error, database):
                raise DatabaseGone from error
            cause = error.orig if isinstance(error, DBAPIError) else error
            ended = _has_ended(error, database)
            if ended:
                self._reopen(database)
            raise DatabaseFailed(str(cause or error), reopened=ended) from error

    def _reopen(self, failed: Database) -> None:
        with self._lock:
            if self._now is failed:  # else another thread has done so
                self._shut()
        with suppress(StoreUnavailable):  # said by whoever asks next; it may be possible then
            self._database()

    def _database(self) -> Database:
        with self._lock:
            if self._now is None:
                if self._closed:
                    raise StoreUnavailable("the store is closed: open another")
                self._now = open_database(self._url)
                self._door = self._new_door()
            return self._now

    def _new_door(self) -> QueryDoor | None:
        if self._now is None:
            return None
        if self._now.duck is not None:
            return self._make_door(DuckSource(self._now.duck))
        if self._now.engine.dialect.name != "postgresql":
            return None
        # Imported where it is needed: a hit in DuckDB opens without it.
        from tokenarium.storage.copied_server import ServerSource

        return self._make_door(ServerSource(self._now.engine))

    def _shut(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._now is not None:
            with suppress(SQLAlchemyError, duckdb.Error):
                self._now.close()
        self._door = self._now = None


def _is_lost(error: Exception, database: Database) -> bool:
    """Return whether there is no connection to the server of a database any more."""
    if database.engine.dialect.name != "postgresql" or not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    # One that could not be made has no SQLSTATE: the server said nothing.
    return error.connection_invalidated or state is None or state.startswith(_NO_CONNECTION)


def _has_ended(error: Exception, database: Database) -> bool:
    """Return whether a database answers nothing any more after an error."""
    if database.duck is None:
        return False
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, duckdb.FatalException) or "invalidated" in str(error):
        return True
    try:
        with database.duck.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM alembic_version").fetchall()
    except duckdb.Error:
        return True
    return False
