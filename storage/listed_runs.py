"""The part of the run store that lists runs, and keeps what people say of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from tokenarium.storage.contents import StoreContents, contents
from tokenarium.storage.errors import RunNotFound
from tokenarium.storage.labels import set_tags
from tokenarium.storage.listing import Choices, Wanted, choices, counted, listed
from tokenarium.storage.open_database import OpenDatabase
from tokenarium.storage.record import ListedRun
from tokenarium.storage.schema import RunRow


class ListedRuns(ABC):
    """Searches, pins, tags and notes of ``RunStore``."""

    _open: OpenDatabase

    @abstractmethod
    def _write(self, *, shared: bool, owner: str = "") -> AbstractContextManager[Connection]:
        """Lend a connection whose changes are kept together, or not at all."""

    def search(
        self,
        wanted: Wanted | None = None,
        *,
        owner: str | None = None,
        limit: int = 50,
        offset: int = 0,
        **named: Any,
    ) -> list[ListedRun]:
        """List runs, newest first; their ``facts`` hold single values only.

        Args:
            wanted: what is looked for; its fields may be given by name instead.
            owner: also list the private runs of this visitor; None for shared runs alone.
        """
        found = wanted or Wanted(**named)
        return self._open.read(lambda connection: listed(connection, found, owner, limit, offset))

    def count(self, wanted: Wanted, owner: str | None = None) -> int:
        """Return how many runs ``search`` finds without a limit."""
        return self._open.read(lambda connection: counted(connection, wanted, owner))

    def choices(self, owner: str | None = None) -> Choices:
        """Return what the runs that ``owner`` may list can be searched by."""
        return self._open.read(lambda connection: choices(connection, owner))

    def contents(self, owner: str | None = None) -> StoreContents:
        """Return what the store holds of shared runs and those of ``owner``."""
        size = self._open.file_bytes
        return self._open.read(lambda connection: contents(connection, owner, size))

    def set_tags(self, run_id: str, tags: Iterable[str]) -> None:
        """Let a run have these tags and no others.

        Raises: RunNotFound.
        """
        with self._write(shared=True) as connection:
            one(connection, select(RunRow.id).where(RunRow.id == run_id), run_id)
            set_tags(connection, run_id, tags)

    def set_note(self, run_id: str, note: str) -> None:
        """Write a note beside a run, in place of an earlier one.

        Raises: RunNotFound.
        """
        self._set(run_id, note=note)

    def pin(self, run_id: str, pinned: bool) -> None:
        """Keep a run's arrays, and the run, whatever its age; or stop doing so.

        Raises: RunNotFound.
        """
        self._set(run_id, pinned=pinned)

    def _set(self, run_id: str, **values: Any) -> None:
        with self._write(shared=True) as connection:
            one(connection, select(RunRow.id).where(RunRow.id == run_id), run_id)
            connection.execute(update(RunRow).where(RunRow.id == run_id).values(**values))


def one(connection: Connection, query: Select[Any], run_id: str) -> Row[Any]:
    """Return the only row of a query about one run.

    Raises: RunNotFound.
    """
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RunNotFound(run_id)
    return row
