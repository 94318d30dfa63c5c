"""Runs one query in this process alone.

Arguments: FILE ROWS SECONDS, then the fields of ``Bounds``; SQL comes from standard input.
"""

import os
import sys

import duckdb
import pyarrow as pa

from tokenarium.storage.door import Bounds, run_select
from tokenarium.storage.errors import QueryRefused
from tokenarium.storage.lockdown import LOCKED_DOWN


def config(bounds: Bounds) -> dict[str, str | bool | int | float | list[str]]:
    """Return DuckDB's settings within bounds."""
    return {
        **LOCKED_DOWN,
        "memory_limit": f"{bounds.duck_bytes // 10**6}MB",
        "threads": str(bounds.threads),
        "temp_directory": "",
    }


def main(path: str, rows: int, seconds: float, bounds: Bounds) -> int:
    """Run the query; return the exit status."""
    _limit_memory(bounds.process_bytes)
    connection = duckdb.connect(path, read_only=True, config=config(bounds))
    try:
        table = run_select(connection, sys.stdin.buffer.read().decode(), rows, seconds)
    except QueryRefused as error:
        sys.stderr.write(f"refused: {error}")
        return 1
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    sys.stdout.buffer.write(sink.getvalue())
    return 0


def _limit_memory(most_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; DuckDB's own remains.
        return
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


if __name__ == "__main__":
    bounds = Bounds(*map(int, sys.argv[4:]))
    status = main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), bounds)
    sys.stdout.flush()
    sys.stderr.flush()
    # Without memory to spare, orderly shutdown of DuckDB can crash after the answer is written.
    os._exit(status)
