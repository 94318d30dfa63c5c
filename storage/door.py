"""The read-only query door: one SELECT, bounded in rows, bytes and seconds.

A host's own query reads the open database in a read-only transaction. A visitor's query may crash
or exhaust the process that runs it, and an error message can quote rows that a view would hide; so
it runs in a process of its own, on a copy that holds the shared runs and nothing else.
"""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import duckdb
import pyarrow as pa

from tokenarium.storage.errors import QueryRefused
from tokenarium.storage.lockdown import LOCKED_DOWN
from tokenarium.storage.statement import check_select

RESULT_BYTES = 64 * 2**20
START_SECONDS = 15.0
VISITORS_AT_ONCE = 2

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

SHARED = {
    "runs": "SELECT * FROM runs WHERE owner = ''",
    "tokens": "SELECT tokens.* FROM tokens JOIN runs ON run_id = id WHERE owner = ''",
    "head_metrics": "SELECT head_metrics.* FROM head_metrics JOIN runs ON run_id = id "
    "WHERE owner = ''",
}
"""Tables a visitor sees, and what is copied into them."""


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
    """Runs the queries of the host and of visitors against one open database."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rows: int, seconds: float) -> None:
        self._connection = connection
        self._rows = rows
        self._seconds = seconds
        self._copying = threading.Lock()
        self._visitors = threading.BoundedSemaphore(VISITORS_AT_ONCE)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._copy: Path | None = None
        self._copies = 0

    def query(self, sql: str) -> pa.Table:
        """Run a SELECT of the host over everything."""
        return run_select(self._connection, sql, self._rows, self._seconds)

    def query_shared(self, sql: str) -> pa.Table:
        """Run a SELECT of a visitor over the shared runs."""
        command = [sys.executable, "-P", "-c", _START, str(_PACKAGE)]
        with self._visitors:
            arguments = [str(self._shared_copy()), str(self._rows), str(self._seconds)]
            try:
                done = subprocess.run(  # noqa: S603
                    [*command, *arguments],
                    input=sql.encode(),
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

    def forget_shared(self) -> None:
        """Make a new copy before the next query of a visitor: shared runs have changed."""
        with self._copying:
            self._copy = None

    def close(self) -> None:
        """Delete the copy."""
        with self._copying:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = self._copy = None

    def _shared_copy(self) -> Path:
        with self._copying:
            if self._copy is None:
                self._folder = self._folder or tempfile.TemporaryDirectory(prefix="tokenarium-")
                self._copies += 1
                # A query that is just starting may still open one of the last copies.
                for old in sorted(Path(self._folder.name).iterdir())[:-2]:
                    old.unlink()
                self._copy = Path(self._folder.name) / f"shared-{self._copies:09}.duckdb"
                self._fill(self._copy)
            return self._copy

    def _fill(self, path: Path) -> None:
        with duckdb.connect(str(path), config=LOCKED_DOWN) as copy:
            cursor = self._connection.cursor()
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            for name, rows in SHARED.items():
                copy.register("incoming", cursor.sql(rows).to_arrow_table())
                copy.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608
                copy.unregister("incoming")
            cursor.close()
