"""A run's own row: read with its labels and long facts, and deleted with all that belongs to it."""

from typing import Any

from sqlalchemy import Connection, Row, delete, select

from tokenarium.storage.labels import labels_of
from tokenarium.storage.listing import LABELS
from tokenarium.storage.parts import long_facts
from tokenarium.storage.record import RunRecord
from tokenarium.storage.schema import Base, RunRow

RECORD = [getattr(RunRow, name) for name in RunRecord.model_fields if name not in LABELS]
"""Columns of a run that ``record_of`` reads."""


def record_of(connection: Connection, row: Row[Any]) -> RunRecord:
    values = row._asdict()
    tags, methods = labels_of(connection, [row.id])[row.id]
    facts = {**values["facts"], **long_facts(connection, row.id)}
    labels = {"note": values["note"] or "", "tags": tags, "methods": methods}
    return RunRecord(**{**values, **labels, "facts": facts})


def make_way(connection: Connection, run_id: str) -> RunRecord | None:
    """Delete a run and return it; None if it is not stored."""
    row = connection.execute(select(*RECORD).where(RunRow.id == run_id)).one_or_none()
    if row is None:
        return None
    before = record_of(connection, row)
    delete_runs(connection, [run_id])
    return before


def delete_runs(connection: Connection, run_ids: list[str]) -> None:
    for table in Base.metadata.tables.values():
        column = table.c.id if table.name == "runs" else table.c.get("run_id")
        if column is not None:
            connection.execute(delete(table).where(column.in_(run_ids)))
