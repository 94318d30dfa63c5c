"""The read-only query door: one SELECT, bounded in rows, bytes and seconds.

A query may crash or exhaust the process that runs it, so each has a process of its own with bounded
memory, on a copy of the tables. A visitor's copy holds the shared runs and that visitor's own, and
nothing else, because an error message can quote rows that a view would hide. The copies lack the
packed numbers of arrays.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from tokenarium.storage.copied import Source
from tokenarium.storage.errors import QueryRefused
from tokenarium.storage.lockdown import LOCKED_DOWN
from tokenarium.storage.statement import check_select

RESULT_BYTES = 64 * 2**20
START_SECONDS = 15.0
AT_ONCE = 2
"""Queries of visitors, and of the host, that have a process at the same time."""

# A child finds the package where this process found it, installed or not.
_PACKAGE = Path(__file__).resolve().parent.parent
_START = (
    "import runpy, sys, types\n"
    "package = sys.modules['tokenarium'] = types.ModuleType('tokenarium')\n"
    "package.__path__ = [sys.argv.pop(1)]\n"
    "runpy.run_module('tokenarium.storage.visitor', run_name='__main__')\n"
)
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT")
"""Environment a visitor's process gets; a host's access tokens stay out of its reach."""


@dataclass(frozen=True)
class Bounds:
    """What the process of a query may use: memory of DuckDB, of all of it, threads."""

    duck_bytes: int
    process_bytes: int
    threads: int


VISITOR = Bounds(duck_bytes=512 * 10**6, process_bytes=2**30, threads=1)
HOST = Bounds(duck_bytes=2 * 10**9, process_bytes=3 * 2**30, threads=2)
MOST_COPIES = 32
"""Copies that are kept, one a visitor; the one that was asked longest ago makes way."""


def run_select(
    connection: duckdb.DuckDBPyConnection, sql: str, rows: int, seconds: float
) -> pa.Table:
    """Run one SELECT.

    Args:
        rows: more are cut off; the schema's metadata says under ``truncated`` (true, false) and
            ``row_limit``.
        seconds: time after which DuckDB is interrupted.
    Raises: QueryRefused with the reason.
    """
    cursor = connection.cursor()
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        check_select(cursor, sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        table = cursor.sql(sql).limit(rows + 1).to_arrow_table()
    except duckdb.InterruptException as error:
        raise QueryRefused(
            f"the query ran longer than {seconds:g} s: read fewer rows, or aggregate less"
        ) from error
    except (duckdb.Error, pa.ArrowException, MemoryError) as error:
        raise QueryRefused(str(error)) from error
    finally:
        timer.cancel()
        cursor.close()
    if table.nbytes > RESULT_BYTES:
        raise QueryRefused(
            f"the result holds {table.nbytes} bytes, over {RESULT_BYTES}: select fewer columns"
        )
    metadata = {"truncated": str(table.num_rows > rows).lower(), "row_limit": str(rows)}
    result: pa.Table = table.slice(0, rows).replace_schema_metadata(metadata)
    return result


class QueryDoor:
    """Runs the queries of the host and of visitors on copies of one open database."""

    def __init__(self, source: Source, rows: int, seconds: float) -> None:
        self._source = source
        self._rows = rows
        self._seconds = seconds
        self._copying = threading.Lock()
        self._at_once = {
            "shared": threading.BoundedSemaphore(AT_ONCE),
            "all": threading.BoundedSemaphore(AT_ONCE),
        }
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._copy: dict[str | None, Path] = {}
        self._version: dict[Path, str] = {}
        self._left: set[Path] = set()
        self._used: Counter[Path] = Counter()
        self._copies = 0

    def query(self, sql: str, rows: int | None = None) -> pa.Table:
        """Run a SELECT of the host over everything.

        Args:
            rows: most rows; None for the usual limit.
        """
        with self._source.judge() as cursor:  # most mistakes need no process
            check_select(cursor, sql)
        return self._run(None, sql, HOST, rows)

    def query_shared(self, sql: str, owner: str = "", rows: int | None = None) -> pa.Table:
        """Run a SELECT of a visitor over the shared runs and those of ``owner``."""
        return self._run(owner, sql, VISITOR, rows)

    def _run(self, owner: str | None, sql: str, bounds: Bounds, rows: int | None) -> pa.Table:
        command = [sys.executable, "-P", "-c", _START, str(_PACKAGE)]
        limits = [str(value) for value in astuple(bounds)]
        most = str(self._rows if rows is None else rows)
        with self._at_once["all" if owner is None else "shared"], self._lent(owner) as path:
            arguments = [str(path), most, str(self._seconds), *limits]
            try:
                done = subprocess.run(  # noqa: S603
                    [*command, *arguments],
                    input=sql.encode(errors="replace"),
                    capture_output=True,
                    timeout=self._seconds + START_SECONDS,
                    env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise QueryRefused(
                    f"the query could not be stopped after {self._seconds:g} s and was ended: "
                    "simplify it"
                ) from error
        if done.returncode == 0:
            return pa.ipc.open_stream(done.stdout).read_all()
        reason = done.stderr.decode(errors="replace").strip().removeprefix("refused: ")
        if reason != done.stderr.decode(errors="replace").strip():
            raise QueryRefused(reason)
        raise QueryRefused("the query ended the process that ran it: simplify it")

    def forget(self, *, shared: bool, owner: str = "") -> None:
        """Make new copies before the next queries: runs have changed.

        Args:
            shared: whether shared runs have, or those of nobody knows whom.
            owner: whose own have, where no shared ones have.
        """
        with self._copying:
            changed = list(self._copy) if shared else [None, *([owner] if owner else [])]
            for name in changed:
                self._drop(name)

    def close(self) -> None:
        """Delete the copies."""
        with self._copying:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None
                self._copy, self._left, self._version = {}, set(), {}

    @contextmanager
    def _lent(self, owner: str | None) -> Iterator[Path]:
        """Lend the copy for a visitor, nobody (an empty name) or the host (None)."""
        with self._copying:
            path = self._copied(owner)
            self._used[path] += 1
        try:
            yield path
        finally:
            with self._copying:
                self._used[path] -= 1
                self._clear()

    def _copied(self, owner: str | None) -> Path:
        if owner in self._copy:
            if self._version[self._copy[owner]] == self._source.version():
                self._copy[owner] = self._copy.pop(owner)  # asked last
                return self._copy[owner]
            self._drop(owner)
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="tokenarium-")
        self._copies += 1
        path = Path(self._folder.name) / f"{self._copies:09}.duckdb"
        try:
            with duckdb.connect(str(path), config=LOCKED_DOWN) as copy:
                self._version[path] = self._source.fill(copy, owner)
        except QueryRefused:
            path.unlink(missing_ok=True)
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            path.unlink(missing_ok=True)
            raise QueryRefused(f"the tables could not be copied for it: {error}") from error
        self._copy[owner] = path
        while len(self._copy) > MOST_COPIES:
            self._drop(next(iter(self._copy)))
        return path

    def _drop(self, owner: str | None) -> None:
        path = self._copy.pop(owner, None)
        if path is not None:
            self._left.add(path)
            self._clear()

    def _clear(self) -> None:
        """Delete the copies of before that no query reads."""
        for path in [path for path in self._left if not self._used[path]]:
            path.unlink(missing_ok=True)
            self._left.discard(path)
            del self._used[path], self._version[path]
