"""Runs one visitor's query in this process alone: FILE ROWS SECONDS, SQL from standard input."""

import os
import sys

import duckdb
import pyarrow as pa

from tokenarium.storage.door import run_select
from tokenarium.storage.errors import QueryRefused
from tokenarium.storage.lockdown import LOCKED_DOWN

MEMORY_BYTES = 2**30
CONFIG = {**LOCKED_DOWN, "memory_limit": "512MB", "threads": "1", "temp_directory": ""}


def main(path: str, rows: int, seconds: float) -> int:
    _limit_memory()
    connection = duckdb.connect(path, read_only=True, config=CONFIG)
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


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; DuckDB's own remains.
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    status = main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Without memory to spare, orderly shutdown of DuckDB can crash after the answer is written.
    os._exit(status)
