"""Copying every run of one database into another, row by row, each compared by its hash.

A run that the target holds already, with the same hash, is left as it is: what was interrupted goes
on where it stopped.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, REAL, Connection, Double, Table, delete, insert, select

from tokenarium.storage.door import QueryDoor
from tokenarium.storage.errors import StoreError
from tokenarium.storage.open_database import OpenDatabase
from tokenarium.storage.replicas import take_turn
from tokenarium.storage.rows import insert_rows
from tokenarium.storage.schema import Base, RunRow
from tokenarium.storage.server import SHOWN_NUL

Rows = dict[str, list[dict[str, Any]]]
"""Rows by name of their table."""
OnRun = Callable[[int, int], None]

_RUNS = Base.metadata.tables["runs"]
_BULK = ("tokens", "head_metrics", "arrays", "parts")
_OF_RUNS = ("tags", "methods", *_BULK)
_OTHERS = ("classes", "class_members", "class_passes")
"""Tables that belong to no run; digests of files are those of one machine, and stay there."""


@dataclass(frozen=True)
class Copied:
    """What a copy did."""

    runs: int
    """Copied, read back and found equal."""
    there: int
    """Were in the target already, equal."""
    newer: int
    """Were in the target already as computed later, and were left so."""


def copy_runs(source_url: str, target_url: str, on_run: OnRun | None = None) -> Copied:
    """Copy all runs, whosever they are, and all classes.

    Args:
        source_url: SQLAlchemy URL of the database that is read; nothing in it is changed.
        target_url: of the other, which is made where there is none.
        on_run: called after each run with how many are done, of how many.
    Returns: how many were copied and how many were there.
    Raises: StoreError if a database cannot be opened, or a run is not the same when read back.
    """
    if source_url == target_url:
        raise StoreError("source and target are one database: name two")
    source = _opened(source_url)
    try:
        target = _opened(target_url)
        try:
            return _copy(source, target, on_run)
        finally:
            target.close()
    finally:
        source.close()


def _opened(url: str) -> OpenDatabase:
    return OpenDatabase(url, lambda tables: QueryDoor(tables, rows=1, seconds=1))


def _copy(source: OpenDatabase, target: OpenDatabase, on_run: OnRun | None) -> Copied:
    ids = select(RunRow.id, RunRow.created).order_by(RunRow.created, RunRow.id)
    wanted = source.read(lambda connection: connection.execute(ids).all())
    there = {row.id: row.created for row in target.read(lambda c: c.execute(ids).all())}
    copied = equal = newer = 0
    for done, (run_id, created) in enumerate(wanted, start=1):
        rows = _rows_in(source, run_id)
        if run_id in there and there[run_id] > created:
            newer += 1
        elif run_id in there and _digest_there(target, run_id) == digest(rows):
            equal += 1
        else:
            _put(target, run_id, rows)
            if _digest_there(target, run_id) != digest(rows):
                raise StoreError(f"run {run_id!r} is not the same when read back: copy it again")
            copied += 1
        if on_run is not None:
            on_run(done, len(wanted))
    for name in _OTHERS:
        _add(source, target, Base.metadata.tables[name])
    return Copied(copied, equal, newer)


def rows_of(connection: Connection, run_id: str) -> Rows:
    """Return everything that is stored of a run."""
    found: Rows = {}
    for name in ("runs", *_OF_RUNS):
        table = Base.metadata.tables[name]
        column = table.c.id if table is _RUNS else table.c.run_id
        rows = connection.execute(select(table).where(column == run_id)).mappings()
        found[name] = [dict(row) for row in rows]
    return found


def digest(rows: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the SHA-256 of rows in any order, the same in every database that holds them."""
    total = hashlib.sha256()
    for name in sorted(rows):
        table = Base.metadata.tables[name]
        lines = sorted(_line(table, row) for row in rows[name])
        total.update(f"{name} {len(lines)}\n".encode())
        for line in lines:
            total.update(line)
    return total.hexdigest()


def _line(table: Table, row: Mapping[str, Any]) -> bytes:
    fields = []
    for column in table.columns:
        value = row[column.name]
        if value is None:
            fields.append(b"-")
        elif isinstance(column.type, REAL | Double):
            # The same number is written with more or fewer digits by one database or another.
            kind = "<d" if isinstance(column.type, Double) else "<f"
            fields.append(struct.pack(kind, value))
        elif isinstance(column.type, JSON):
            fields.append(json.dumps(value, sort_keys=True).encode())
        elif isinstance(value, datetime):
            fields.append(value.isoformat().encode())
        elif isinstance(value, str):
            # PostgreSQL has a sign in the place of NUL.
            fields.append(value.replace("\0", SHOWN_NUL).encode("utf-8", "surrogatepass"))
        else:
            fields.append(bytes(value) if isinstance(value, bytes | memoryview) else b"%d" % value)
    return b"".join(len(field).to_bytes(8, "little") + field for field in fields)


def _rows_in(database: OpenDatabase, run_id: str) -> Rows:
    return database.read(lambda connection: rows_of(connection, run_id))


def _digest_there(target: OpenDatabase, run_id: str) -> str:
    return digest(_rows_in(target, run_id))


def _put(target: OpenDatabase, run_id: str, rows: Rows) -> None:
    """Store the rows of a run, in place of an earlier one, all or none."""
    with target.writing() as connection:
        take_turn(connection)
        connection.execute(delete(_RUNS).where(_RUNS.c.id == run_id))
        for name in _OF_RUNS:
            table = Base.metadata.tables[name]
            connection.execute(delete(table).where(table.c.run_id == run_id))
        for name, found in rows.items():
            table = Base.metadata.tables[name]
            if name in _BULK:
                insert_rows(connection, table, found)
            elif found:
                connection.execute(insert(table), found)


def _add(source: OpenDatabase, target: OpenDatabase, table: Table) -> None:
    """Add the rows of a table that the target lacks."""

    def rows(connection: Connection) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(select(table)).mappings()]

    known = {_line(table, row) for row in target.read(rows)}
    missing = [row for row in source.read(rows) if _line(table, row) not in known]
    if missing:
        with target.writing() as connection:
            take_turn(connection)
            connection.execute(insert(table), missing)
