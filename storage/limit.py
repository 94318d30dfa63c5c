"""Keeping the stored arrays within a size."""

from sqlalchemy import Connection, delete, func, select, update

from tokenarium.storage.schema import ArrayRow, PartRow, RunRow


def drop_arrays_over(limit_bytes: int | None, connection: Connection, keep: str) -> list[str]:
    """Drop the arrays of the oldest unpinned runs until the rest fits; runs and facts stay.

    Args:
        limit_bytes: compressed bytes to keep, None for all.
        keep: id of the run just saved, which keeps its arrays.
    Returns: notes for a person.
    """
    stored = int(connection.scalar(select(func.sum(RunRow.array_bytes))) or 0)
    if limit_bytes is None or stored <= limit_bytes:
        return []
    candidates = (
        select(RunRow.id, RunRow.array_bytes)
        .where(RunRow.pinned.is_(False), RunRow.array_bytes > 0, RunRow.id != keep)
        .order_by(RunRow.created)
    )
    dropped = []
    for run_id, size in connection.execute(candidates).all():
        if stored <= limit_bytes:
            break
        dropped.append(run_id)
        stored -= size
    notes = []
    if dropped:
        _drop(connection, dropped)
        runs = "1 older run" if len(dropped) == 1 else f"{len(dropped)} older runs"
        notes.append(f"dropped the arrays of {runs} to keep arrays within {limit_bytes} bytes")
    if stored > limit_bytes:
        notes.append(
            f"pinned runs and this one hold {stored} bytes of arrays, over the limit of "
            f"{limit_bytes}: unpin runs or raise the limit"
        )
    return notes


def _drop(connection: Connection, run_ids: list[str]) -> None:
    connection.execute(delete(ArrayRow).where(ArrayRow.run_id.in_(run_ids)))
    connection.execute(delete(PartRow).where(PartRow.run_id.in_(run_ids), PartRow.name != ""))
    connection.execute(
        update(RunRow).where(RunRow.id.in_(run_ids)).values(array_bytes=0, arrays_dropped=True)
    )
