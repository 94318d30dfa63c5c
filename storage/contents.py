"""What a store holds, and what goes first when its limit is reached."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from tokenarium.storage.schema import RunRow


@dataclass(frozen=True)
class KindContents:
    """The runs of one kind."""

    kind: str
    runs: int
    array_bytes: int
    """Compressed bytes of their arrays."""
    dropped: int
    """Runs whose arrays were dropped."""


@dataclass(frozen=True)
class OldestRun:
    """The unpinned run that goes first, or whose arrays do."""

    run_id: str
    kind: str
    text: str
    created: datetime
    array_bytes: int


@dataclass(frozen=True)
class StoreContents:
    """What a store holds for one visitor."""

    kinds: tuple[KindContents, ...]
    file_bytes: int | None
    """Size of the database file; None where it is no file of this machine."""
    next_dropped: OldestRun | None
    """The run whose arrays are dropped first when the limit is reached; None where none can be."""
    next_deleted: OldestRun | None
    """The visitor's own run that is deleted first for its age; None where none is theirs."""

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return sum(kind.runs for kind in self.kinds)

    @property
    def array_bytes(self) -> int:
        """Compressed bytes of all arrays."""
        return sum(kind.array_bytes for kind in self.kinds)


def contents(connection: Connection, owner: str | None, file_bytes: int | None) -> StoreContents:
    """Return what there is of shared runs and those of ``owner``."""
    mine = RunRow.owner.in_(("", owner or ""))
    kinds = connection.execute(
        select(
            RunRow.kind,
            func.count(),
            func.sum(RunRow.array_bytes),
            func.count().filter(RunRow.arrays_dropped),
        )
        .where(mine)
        .group_by(RunRow.kind)
        .order_by(RunRow.kind)
    ).all()
    oldest = (
        select(RunRow.id, RunRow.kind, RunRow.text, RunRow.created, RunRow.array_bytes)
        .where(RunRow.pinned.is_(False))
        .order_by(RunRow.created)
        .limit(1)
    )
    dropped = connection.execute(oldest.where(mine, RunRow.array_bytes > 0)).first()
    deleted = connection.execute(oldest.where(RunRow.owner == owner)).first() if owner else None
    return StoreContents(
        tuple(KindContents(kind, runs, int(size or 0), gone) for kind, runs, size, gone in kinds),
        file_bytes,
        OldestRun(*dropped) if dropped else None,
        OldestRun(*deleted) if deleted else None,
    )
