"""Descriptions of stored runs as a table, for a file of the list."""

from collections.abc import Sequence

import pyarrow as pa

from tokenarium.storage.record import ListedRun

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("text", pa.string()),
        ("methods", pa.list_(pa.string())),
        ("created", pa.timestamp("us", "UTC")),
        ("duration_ms", pa.float64()),
        ("array_bytes", pa.int64()),
        ("arrays_dropped", pa.bool_()),
        ("pinned", pa.bool_()),
        ("tags", pa.list_(pa.string())),
        ("note", pa.string()),
    ]
)


def listed_table(runs: Sequence[ListedRun]) -> pa.Table:
    """Return one row a run; its methods are written ``family:slug``."""
    rows = [
        {
            **{name: getattr(run, name) for name in _SCHEMA.names if name != "methods"},
            "methods": [f"{family}:{s}" for family, slugs in run.methods.items() for s in slugs],
            "tags": list(run.tags),
        }
        for run in runs
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
