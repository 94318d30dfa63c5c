"""The run store: everything that is kept about runs, behind one class."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from tokenarium.storage import packing
from tokenarium.storage.again import done_again
from tokenarium.storage.classes import ClassTables
from tokenarium.storage.door import QueryDoor
from tokenarium.storage.errors import (
    ArraysDropped,
    DatabaseFailed,
    DatabaseGone,
    QueryRefused,
    StoreError,
    StoreUnavailable,
)
from tokenarium.storage.labels import insert_labels
from tokenarium.storage.limit import drop_arrays_over
from tokenarium.storage.listed_runs import ListedRuns, one
from tokenarium.storage.listing import LABELS
from tokenarium.storage.open_database import OpenDatabase
from tokenarium.storage.parts import LONG_FACTS, read_parts, split_facts
from tokenarium.storage.record import RunRecord
from tokenarium.storage.replicas import take_turn
from tokenarium.storage.rows import check_tables, insert_rows, insert_table
from tokenarium.storage.run_rows import RECORD, delete_runs, make_way, record_of
from tokenarium.storage.schema import ArrayRow, Base, FileRow, PartRow, RunRow


class RunStore(ListedRuns):
    """Runs in one database; safe to use from many threads.

    Args:
        url: SQLAlchemy URL, such as ``duckdb:///runs.duckdb`` or ``duckdb:///:memory:``.
        limit_bytes: compressed bytes of arrays to keep; None for no limit.
        query_rows: rows a query returns at most.
        query_seconds: time a query may take.
    Raises: StoreUnavailable if the database is locked, foreign, corrupt or of a newer version.

    ``upgraded`` says what was done to tables of an older release, and where the copy is; empty
    where nothing was.
    """

    def __init__(
        self,
        url: str,
        *,
        limit_bytes: int | None = None,
        query_rows: int = 1_000,
        query_seconds: float = 5.0,
    ) -> None:
        self._open = OpenDatabase(url, lambda source: QueryDoor(source, query_rows, query_seconds))
        self.upgraded = self._open.upgraded
        self._limit_bytes = limit_bytes
        self._writing = threading.Lock()
        self.classes = ClassTables(self._open, lambda: self._write(shared=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; the store is of no use afterwards."""
        self._open.close()

    def why_no_answer(self) -> str:
        """Return why nothing can be read now, without an address or a row; empty where it can."""
        try:
            self._open.read(lambda connection: connection.scalar(select(RunRow.id).limit(1)))
        except StoreUnavailable:
            return "the run store is closed or cannot be opened"
        except DatabaseFailed:
            return "the run store does not answer"
        return ""

    def find(self, key: str, owner: str = "") -> RunRecord | None:
        """Return the newest run with this content address, shared or of ``owner``.

        A run whose arrays were dropped is passed over: it has to be computed again.
        """
        # Sorted here: with ORDER BY ... LIMIT, DuckDB reads the table twice and takes ten times
        # as long as the look-up in the index.
        query = select(*RECORD).where(
            RunRow.key == key, RunRow.owner.in_(("", owner)), RunRow.arrays_dropped.is_(False)
        )

        def newest(connection: Connection) -> RunRecord | None:
            rows = sorted(connection.execute(query), key=lambda row: row.created)
            return record_of(connection, rows[-1]) if rows else None

        return self._open.read(newest)

    def save(
        self,
        record: RunRecord,
        tables: Mapping[str, pa.Table],
        arrays: Mapping[str, NDArray[Any]],
        *,
        replace: bool = False,
    ) -> list[str]:
        """Store a run whole or not at all.

        Args:
            record: its description.
            tables: rows by table name (``tokens``, ``head_metrics``), without ``run_id``; NaN is
                stored as NULL.
            arrays: numbers or bools of any shape, by name.
            replace: whether a run stored under its id gives way to it, which leaves it its pin,
                tags and note.
        Returns: notes for a person, such as how many older runs lost their arrays.
        Raises: ValueError for an undeclared table or column, a time without zone, an id that is
            stored already; StoreError if the database refuses, or its server stays away.
        """
        return done_again(
            lambda: self._saved(record, tables, arrays, replace=replace),
            lambda: [] if self._holds(record) else None,
        )

    def _saved(
        self,
        record: RunRecord,
        tables: Mapping[str, pa.Table],
        arrays: Mapping[str, NDArray[Any]],
        *,
        replace: bool,
    ) -> list[str]:
        """Store a run once.

        Raises: as ``save``; DatabaseGone where the server's connection was lost.
        """
        check_tables(tables)
        array_rows, parts = packing.pack(record.id, arrays)
        short, long = split_facts(record.facts)
        if long:
            packed = packing.compress(json.dumps(long).encode())
            parts.extend(packing.cut(record.id, LONG_FACTS, packed))
        values = {name: getattr(record, name) for name in RunRecord.model_fields}
        values |= {"facts": short, "arrays_dropped": False}
        values["array_bytes"] = sum(row["stored_bytes"] for row in array_rows)
        try:
            changed = replace or not record.owner
            # What only adds rows waits for no other replica before it is to make room.
            with self._write(shared=changed, owner=record.owner, alone=replace) as connection:
                if replace and (before := make_way(connection, record.id)):
                    labels = {"note": before.note or record.note, "tags": before.tags}
                    record = record.model_copy(update=labels)
                    values |= {"pinned": record.pinned or before.pinned, "note": record.note}
                connection.execute(
                    insert(RunRow), {k: v for k, v in values.items() if k not in LABELS}
                )
                insert_labels(connection, record)
                for name, table in tables.items():
                    insert_table(connection, name, record.id, table)
                insert_rows(connection, Base.metadata.tables["arrays"], array_rows)
                insert_rows(connection, Base.metadata.tables["parts"], parts)
                take_turn(connection)
                return drop_arrays_over(self._limit_bytes, connection, keep=record.id)
        except IntegrityError as error:
            raise ValueError(f"id={record.id!r} is stored already: use a new one") from error
        except DatabaseGone:
            raise
        except (DatabaseFailed, StoreUnavailable) as error:
            if getattr(error, "reopened", False) and self._holds(
                record
            ):  # its checkpoint failed, it did not
                return [str(error)]
            raise StoreError(f"run {record.id!r} was not stored: {error}") from error

    def record(self, run_id: str) -> RunRecord:
        """Return a run without its arrays.

        Raises: RunNotFound.
        """

        def found(connection: Connection) -> RunRecord:
            row = one(connection, select(*RECORD).where(RunRow.id == run_id), run_id)
            return record_of(connection, row)

        return self._open.read(found)

    def created(self, run_id: str) -> datetime:
        """Return when a run was made, without reading anything else of it.

        Raises: RunNotFound.
        """

        def found(connection: Connection) -> datetime:
            moment: datetime = one(
                connection, select(RunRow.created).where(RunRow.id == run_id), run_id
            ).created
            return moment

        return self._open.read(found)

    def arrays(self, run_id: str) -> dict[str, NDArray[Any]]:
        """Return a run's arrays by name, bit for bit as saved.

        Raises: RunNotFound; ArraysDropped if they were dropped for size.
        """

        def packed(connection: Connection) -> tuple[Sequence[Any], dict[str, bytes]]:
            found = select(RunRow.arrays_dropped).where(RunRow.id == run_id)
            if one(connection, found, run_id).arrays_dropped:
                raise ArraysDropped(run_id)
            named = select(ArrayRow.name, ArrayRow.dtype, ArrayRow.shape)
            rows = connection.execute(named.where(ArrayRow.run_id == run_id)).all()
            return rows, read_parts(connection, run_id, PartRow.name != LONG_FACTS)

        rows, data = self._open.read(packed)
        return {row.name: packing.unpack(row.dtype, row.shape, data[row.name]) for row in rows}

    def delete(self, run_id: str) -> None:
        """Delete a run.

        Raises: RunNotFound.
        """
        with self._write(shared=True) as connection:
            one(connection, select(RunRow.id).where(RunRow.id == run_id), run_id)
            delete_runs(connection, [run_id])

    def delete_older(self, hours: float, *, owned_only: bool = True) -> int:
        """Delete the unpinned runs older than ``hours``; return how many.

        Args:
            owned_only: delete visitors' private runs alone.
        """
        before = datetime.now(UTC) - timedelta(hours=hours)
        query = select(RunRow.id).where(RunRow.created < before, RunRow.pinned.is_(False))
        if owned_only:
            query = query.where(RunRow.owner != "")
        with self._write(shared=not owned_only) as connection:
            ids = list(connection.scalars(query))
            delete_runs(connection, ids)
        return len(ids)

    def query(
        self, sql: str, *, shared_only: bool = False, owner: str = "", rows: int | None = None
    ) -> pa.Table:
        """Run one SELECT over the stored runs.

        Args:
            sql: exactly one SELECT in DuckDB's dialect.
            shared_only: for visitors: only the tables of ``tokenarium.storage.copied.VISIBLE``
                exist, with the shared runs, in a process of its own with bounded memory.
            owner: the visitor whose own runs are there too then.
            rows: most rows, in place of ``query_rows``.
        Returns: the rows; the schema's metadata says under ``truncated`` (true, false) whether
            rows beyond ``row_limit`` were cut off.
        Raises: QueryRefused with the reason.
        """
        door = self._open.door
        if door is None:
            raise QueryRefused(
                f"queries need DuckDB or PostgreSQL, and this database is {self._open.dialect}: "
                "use that database's own client"
            )
        return door.query_shared(sql, owner, rows) if shared_only else door.query(sql, rows)

    def digest(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Return the SHA-256 remembered for a file as it is now, or None."""
        query = select(FileRow.digest).where(
            FileRow.path == path, FileRow.size == size, FileRow.mtime_ns == mtime_ns
        )
        with suppress(DatabaseFailed, StoreUnavailable):  # it is computed again
            return self._open.read(lambda connection: connection.scalar(query))
        return None

    def remember_digest(self, path: str, size: int, mtime_ns: int, digest: str) -> None:
        """Remember the SHA-256 of a file, in place of an earlier one, unless the disk is full."""
        values = {"size": size, "mtime_ns": mtime_ns, "digest": digest}
        failed = suppress(DatabaseFailed, StoreUnavailable)
        with failed, self._write(shared=False) as connection:
            known = connection.scalar(select(FileRow.path).where(FileRow.path == path))
            if known is None:
                connection.execute(insert(FileRow), {"path": path, **values})
            else:
                connection.execute(update(FileRow).where(FileRow.path == path).values(values))

    @property
    def replicated(self) -> bool:
        """Whether other replicas of the program may use the same database."""
        return self._open.dialect == "postgresql"

    @contextmanager
    def computing(self, key: str, owner: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Let no other replica compute the run with a content address for the same owner.

        Args:
            key: content address.
            owner: whose run it will be.
            waiting: called while another replica computes it; raises to give up.
        """
        with self._open.alone_with(f"{owner} {key}", waiting):
            yield

    def take_place(self, name: str, most: int) -> Callable[[], None] | None:
        """Take one of ``most`` places that a name has at all replicas together.

        Returns: what gives it back; None where all are taken. With one replica there is always one.
        """
        return self._open.take_place(name, most)

    @contextmanager
    def _write(self, *, shared: bool, owner: str = "", alone: bool = True) -> Iterator[Connection]:
        # One writer at a time: DuckDB fails the second of two that change the same rows.
        with self._writing:
            with self._open.writing() as connection:
                if alone:
                    take_turn(connection)
                yield connection
            if (door := self._open.door) is not None:
                door.forget(shared=shared, owner=owner)

    def _holds(self, record: RunRecord) -> bool:
        """Return whether a run is stored as it is now, and not an earlier one under its id."""
        try:
            return self.record(record.id).created == record.created
        except StoreError:
            return False
