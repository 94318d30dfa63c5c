"""The runs that are stored, as a library: searched, pinned, tagged, noted, deleted, counted."""

from datetime import date, datetime
from typing import Any

from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.runs.examples import declared
from tokenarium.backend.runs.export import TableFormat, table_file
from tokenarium.backend.runs.labels import checked_note, checked_tags, moment, refuse_many
from tokenarium.backend.runs.listed_table import listed_table
from tokenarium.backend.runs.stored_runs import StoredRuns
from tokenarium.storage.contents import StoreContents
from tokenarium.storage.listing import Choices, Wanted
from tokenarium.storage.record import ListedRun

MOST_LISTED = 10_000
"""Runs in a file of the list."""
Moment = datetime | date | str | None
"""A moment in UTC, a day, or a text such as 2026-03-01."""


class Library(StoredRuns):
    """The part of ``Lab`` that lists what is stored and keeps it in order."""

    def search(
        self,
        *,
        visitor: str = "",
        kind: str | None = None,
        text: str | None = None,
        model: str | None = None,
        method: str | None = None,
        tag: str | None = None,
        pinned: bool | None = None,
        since: Moment = None,
        until: Moment = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[ListedRun]:
        """Return descriptions of shared runs and of the visitor's own, newest first.

        Args:
            visitor: private name of who asks; matters in hosted mode only.
            kind: such as ``trace``.
            text: what the text or the note contains, whatever the case.
            model: the exact name.
            method: slug of a policy, drafter, rule, intervention or task that the run uses.
            tag: one that it has.
            pinned: whether it is pinned.
            since: stored at this moment or on this day, or later.
            until: stored before this moment, or on this day at the latest.
            limit: most descriptions.
            offset: how many to skip.

        Raises:
            UserError: if ``limit`` or ``offset`` is below 0, or a moment is none.
        """
        if limit < 0 or offset < 0:
            raise UserError(f"limit={limit}, offset={offset}: give 0 or more for both")
        wanted = _wanted(kind, text, model, method, tag, pinned, since, until)
        return self._repository.search(wanted, visitor=visitor, limit=limit, offset=offset)

    def search_file(
        self,
        format: TableFormat = "csv",  # noqa: A002
        *,
        visitor: str = "",
        **wanted: Any,
    ) -> bytes:
        """Return what ``search`` finds as a table in a file: one row a run, without its arrays.

        Args:
            format: ``csv`` or ``parquet``.
            visitor: private name of who asks.
            wanted: ``kind``, ``text``, ``model`` and so on, as ``search`` takes them; at most
                10,000 runs, the newest.

        Raises:
            UserError: if the format is unknown, or as ``search`` does.
        """
        found = self.search(visitor=visitor, **{"limit": MOST_LISTED, **wanted})
        return table_file(listed_table(found), format)

    def count(self, *, visitor: str = "", **wanted: Any) -> int:
        """Return how many runs ``search`` finds, whatever its limit.

        Args:
            visitor: private name of who asks.
            wanted: ``kind``, ``text``, ``model`` and so on, as ``search`` takes them.

        Raises:
            UserError: if there is no such argument, or a moment is none.
        """
        try:
            found = _wanted(**{**dict.fromkeys(Wanted.__dataclass_fields__), **wanted})
        except TypeError as error:
            known = ", ".join(Wanted.__dataclass_fields__)
            raise UserError(f"{', '.join(wanted)}: give only {known}") from error
        with told_in_words():
            return self._repository.store.count(found, self._repository.lists(visitor))

    def choices(self, *, visitor: str = "") -> Choices:
        """Return the kinds, models, methods and tags of the runs that a visitor may list."""
        with told_in_words():
            return self._repository.store.choices(self._repository.lists(visitor))

    def contents(self, *, visitor: str = "") -> StoreContents:
        """Return what the store holds by kind, its size, and what goes first when it is full.

        In hosted mode it is about shared runs and the visitor's own.
        """
        self._repository.expire()
        with told_in_words():
            return self._repository.store.contents(self._repository.lists(visitor))

    def tag(self, run_id: str, *tags: str, visitor: str = "") -> tuple[str, ...]:
        """Give a run tags beside those it has, and return all of them.

        Args:
            run_id: of the run.
            tags: a word or a few each, up to 40 characters without a comma; at most 12 a run.
            visitor: private name of who asks; in hosted mode only a run's owner may change it.

        Raises:
            UserError: if there is no such run, it is not the visitor's, or a tag is none.
        """
        found = checked_tags(tags)
        before = self._repository.change(run_id, visitor, "tag").tags
        return self._tagged(run_id, {*before, *found})

    def untag(self, run_id: str, *tags: str, visitor: str = "") -> tuple[str, ...]:
        """Take tags away from a run, whether or not it has them, and return the others.

        Raises:
            UserError: if there is no such run, or it is not the visitor's.
        """
        before = self._repository.change(run_id, visitor, "tag").tags
        return self._tagged(run_id, {*before} - {*tags})

    def note(self, run_id: str, text: str, *, visitor: str = "") -> str:
        """Write a note beside a run, in place of an earlier one, and return it.

        Args:
            run_id: of the run.
            text: up to 2,000 characters; empty for none.
            visitor: private name of who asks; in hosted mode only a run's owner may change it.

        Raises:
            UserError: if there is no such run, it is not the visitor's, or the note is too long.
        """
        note = checked_note(text)
        self._repository.change(run_id, visitor, "write a note on")
        with told_in_words():
            self._repository.store.set_note(run_id, note)
        return note

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keep the arrays of a run even when space runs out; refused in hosted mode."""
        self._repository.pin(run_id, pinned)

    def delete(self, run_id: str, *, visitor: str = "") -> None:
        """Delete a run; in hosted mode a visitor's own only.

        Raises:
            UserError: if there is no such run, it is not the visitor's, it comes with the program,
                or it is being measured again.
        """
        record = self._repository.change(run_id, visitor, "delete")
        if self.is_example(run_id):
            raise UserError(
                f"run {run_id!r} is an example, which would be there again after the next start: "
                "it cannot be deleted"
            )
        if any(ticket.id == run_id for ticket in self._executor.running(record.owner)):
            raise UserError(f"run {run_id!r} is being measured: cancel it first")
        self._repository.delete(run_id, visitor)

    def is_example(self, run_id: str) -> bool:
        """Whether a run comes with the program."""
        return any(run_id == example.run_id for example in declared())

    def _tagged(self, run_id: str, tags: set[str]) -> tuple[str, ...]:
        refuse_many(tags)
        with told_in_words():
            self._repository.store.set_tags(run_id, tags)
        return tuple(sorted(tags))


def _wanted(
    kind: str | None,
    text: str | None,
    model: str | None,
    method: str | None,
    tag: str | None,
    pinned: bool | None,
    since: Moment,
    until: Moment,
) -> Wanted:
    return Wanted(
        kind=kind,
        text=text,
        model=model,
        method=method,
        tag=tag,
        pinned=pinned,
        since=moment("since", since),
        until=moment("until", until, ends=True),
    )
