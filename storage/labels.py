"""What runs are found by beside their own fields: tags, and the methods that they use."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, literal, select, union_all

from tokenarium.storage.record import RunRecord
from tokenarium.storage.schema import MethodRow, TagRow

Labels = Mapping[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]]
"""By run, its tags and, by family, its methods."""


def labels_of(connection: Connection, run_ids: Iterable[str]) -> Labels:
    """Return the labels of runs; a run without any is there too."""
    ids = list(run_ids)
    tags: dict[str, list[str]] = {run_id: [] for run_id in ids}
    methods: dict[str, dict[str, tuple[str, ...]]] = {run_id: {} for run_id in ids}
    query = union_all(
        select(TagRow.run_id, literal("").label("family"), TagRow.tag.label("name")).where(
            TagRow.run_id.in_(ids)
        ),
        select(MethodRow.run_id, MethodRow.family, MethodRow.method).where(
            MethodRow.run_id.in_(ids)
        ),
    )
    for run_id, family, name in connection.execute(query) if ids else ():
        if family:
            found = methods[run_id]
            found[family] = (*found.get(family, ()), name)
        else:
            tags[run_id].append(name)
    return {run_id: (tuple(sorted(tags[run_id])), methods[run_id]) for run_id in ids}


def insert_labels(connection: Connection, record: RunRecord) -> None:
    """Store the tags and methods of a run that has none yet."""
    rows = [
        {"run_id": record.id, "family": family, "method": method}
        for family, methods in record.methods.items()
        for method in methods
    ]
    if rows:
        connection.execute(insert(MethodRow).values(rows))
    set_tags(connection, record.id, record.tags)


def set_tags(connection: Connection, run_id: str, tags: Iterable[str]) -> None:
    """Let a run have these tags and no others."""
    connection.execute(delete(TagRow).where(TagRow.run_id == run_id))
    rows = [{"run_id": run_id, "tag": tag} for tag in sorted(set(tags))]
    if rows:
        connection.execute(insert(TagRow).values(rows))
