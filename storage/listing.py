"""Which runs are listed: the conditions of a search, as SQL that every database knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from tokenarium.storage.labels import labels_of
from tokenarium.storage.record import ListedRun
from tokenarium.storage.schema import MethodRow, RunRow, TagRow

LABELS = ("tags", "methods")
"""Fields of a record that are tables of their own."""
LISTED = [getattr(RunRow, name) for name in ListedRun.model_fields if name not in LABELS]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What runs are looked for; None, or an empty text, asks for nothing."""

    kind: str | None = None
    text: str | None = None
    """Part of the text or of the note, in any case; % and _ stand for themselves."""
    model: str | None = None
    method: str | None = None
    """Slug of a policy, drafter, rule, intervention or task."""
    tag: str | None = None
    pinned: bool | None = None
    since: datetime | None = None
    """Stored at this moment or later."""
    until: datetime | None = None
    """Stored before this moment."""

    def conditions(self, owner: str | None) -> list[ColumnElement[bool]]:
        """Return what the runs fulfil that this visitor may list; None lists shared runs alone."""
        found: list[ColumnElement[bool]] = [RunRow.owner.in_(("", owner or ""))]
        for column, value in (
            (RunRow.kind, self.kind), (RunRow.model, self.model), (RunRow.pinned, self.pinned)
        ):  # fmt: skip
            if value is not None:
                found.append(column == value)
        if self.text:
            found.append(
                or_(
                    RunRow.text.icontains(self.text, autoescape=True),
                    RunRow.note.icontains(self.text, autoescape=True),
                )
            )
        if self.method is not None:
            using = select(MethodRow.run_id).where(MethodRow.method == self.method)
            found.append(RunRow.id.in_(using))
        if self.tag is not None:
            found.append(RunRow.id.in_(select(TagRow.run_id).where(TagRow.tag == self.tag)))
        if self.since is not None:
            found.append(RunRow.created >= self.since)
        if self.until is not None:
            found.append(RunRow.created < self.until)
        return found


@dataclass(frozen=True)
class Choices:
    """What the runs that a visitor may list can be searched by: how many runs each, by name."""

    kinds: dict[str, int]
    models: dict[str, int]
    methods: dict[str, int]
    tags: dict[str, int]


def listed(
    connection: Connection, wanted: Wanted, owner: str | None, limit: int, offset: int
) -> list[ListedRun]:
    """Return runs, newest first; their ``facts`` hold single values only."""
    # The ids first: ordering whole rows, DuckDB carries every request and environment along.
    ids = (
        select(RunRow.id)
        .where(*wanted.conditions(owner))
        .order_by(RunRow.created.desc(), RunRow.id)
        .limit(limit)
        .offset(offset)
    )
    places = {run_id: place for place, run_id in enumerate(connection.scalars(ids))}
    if not places:
        return []
    rows = connection.execute(select(*LISTED).where(RunRow.id.in_(list(places)))).all()
    labels = labels_of(connection, places)
    found = [_run(row._asdict(), *labels[row.id]) for row in rows]
    return sorted(found, key=lambda run: places[run.id])


def counted(connection: Connection, wanted: Wanted, owner: str | None) -> int:
    """Return how many runs a search finds."""
    query = select(func.count()).select_from(RunRow).where(*wanted.conditions(owner))
    return int(connection.scalar(query) or 0)


def choices(connection: Connection, owner: str | None) -> Choices:
    """Return the kinds, models, methods and tags of the runs that a visitor may list."""
    own = RunRow.owner.in_(("", owner or ""))
    joined = {
        MethodRow.method: select(MethodRow.method, func.count(MethodRow.run_id.distinct())).join(
            RunRow, RunRow.id == MethodRow.run_id
        ),
        TagRow.tag: select(TagRow.tag, func.count()).join(RunRow, RunRow.id == TagRow.run_id),
    }

    def counts(column: Any, query: Any = None) -> dict[str, int]:
        query = select(column, func.count()) if query is None else query
        rows: Sequence[Any] = connection.execute(
            query.where(own).group_by(column).order_by(column)
        ).all()
        return {name: int(count) for name, count in rows}

    return Choices(
        counts(RunRow.kind),
        counts(RunRow.model),
        *(counts(column, query) for column, query in joined.items()),
    )


def _run(
    values: dict[str, Any], tags: tuple[str, ...], methods: dict[str, tuple[str, ...]]
) -> ListedRun:
    return ListedRun(**{**values, "note": values["note"] or "", "tags": tags, "methods": methods})
