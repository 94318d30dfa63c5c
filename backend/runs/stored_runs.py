"""Stored runs: opening, exporting, listing, deleting and querying them."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, overload

import orjson
import pyarrow as pa

from tokenarium.backend.comparison.compare import compare_runs, refuse_ids
from tokenarium.backend.comparison.result import RunComparison
from tokenarium.backend.environment import storage_note
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.export import (
    MOST_NUMBERS,
    MOST_OF_ALL,
    Format,
    TableFormat,
    as_content,
    as_json,
    as_tables,
    table_file,
)
from tokenarium.backend.runs.in_flight import RunsInFlight, finished
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.packed import Packed
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import lacking, refuse_unknown

MOST_FILE_BYTES = 32 * 2**20
MOST_TIMES = 100
"""A query may be given so many times its usual rows, as for a file."""


class StoredRuns(RunsInFlight):
    """The part of ``Lab`` that opens what is stored, and measures again what is missing."""

    def open(self, run_id: str, *, visitor: str = "", needs: Collection[str] = ()) -> Run:
        """Return a stored run; knowing its id is the permission.

        ``run.missing`` names quantities that the version which stored it did not measure.

        Args:
            run_id: of the run.
            visitor: private name of who asks.
            needs: quantities that must not be missing; the run is measured again for them.

        Raises:
            UserError: if there is none, its arrays were dropped, or its version cannot be read;
                in hosted mode also if ``needs`` asks to measure a run that is not the visitor's.
        """
        run = self._repository.open(run_id, visitor)
        refuse_unknown(KINDS.find(run.request.kind), needs)
        if not lacking(run, needs):
            return run
        ticket = self.measure(run_id, visitor=visitor)
        return finished(self.follow(ticket.id, visitor=visitor))

    @overload
    def export(
        self, run_id: str, format: Literal["json", "ipynb"] = "json", *, everything: bool = False
    ) -> str: ...

    @overload
    def export(self, run_id: str, format: TableFormat, table: str = "") -> bytes: ...

    @overload
    def export(
        self, run_id: str, format: Format, table: str = "", *, everything: bool = False
    ) -> str | bytes: ...

    def export(
        self,
        run_id: str,
        format: Format = "json",  # noqa: A002 - the field's word
        table: str = "",
        *,
        everything: bool = False,
    ) -> str | bytes:
        """Return a stored run as a file.

        Args:
            run_id: as in the run's address.
            format: ``json``, one text with the definition of every quantity; ``ipynb``, a notebook
                that computes it again; ``csv`` or ``parquet``, its tables.
            table: name of one table; empty for all of them in one ZIP.
            everything: whether JSON has very large quantities too, such as maps of attention;
                otherwise it names them in ``left_out``.

        Raises:
            UserError: if there is none, it cannot be read any more, or format or table is unknown.
        """
        run = self._repository.open(run_id)
        if format == "json":
            return as_json(run, everything=everything)
        if format == "ipynb":
            return run.notebook()
        return as_tables(run, format, table)

    def content(
        self,
        run: Run | str,
        *,
        visitor: str = "",
        quantities: Collection[str] = (),
        most: int = MOST_NUMBERS,
    ) -> dict[str, Any]:
        """Return what ``export`` writes as JSON, as a dictionary without very large quantities.

        Args:
            run: a run, also one that could not be stored, or the id of a stored one.
            visitor: private name of who asks.
            quantities: names of those to return however large; none for all of at most ``most``
                numbers, the rest being named in ``left_out`` with their shapes. A run that an
                older version stored without one is measured again.
            most: numbers of a quantity that nobody named.

        Raises:
            UserError: if there is no such run or quantity, or it cannot be read any more.
        """
        found = self.open(run, visitor=visitor) if isinstance(run, str) else run
        if lacking(found, quantities):
            found = self.open(found.id, visitor=visitor, needs=quantities)
        return as_content(found, quantities, most)

    def packed(self, run_id: str, *, everything: bool = False) -> Packed:
        """Return what ``content`` does of a stored run, as JSON that is written once and kept.

        Args:
            run_id: of the run; knowing it is the permission.
            everything: whether quantities of more than ``MOST_NUMBERS`` numbers are in it, too;
                else they are named in ``left_out``.

        Raises:
            UserError: if there is no such run, or it cannot be read any more.
        """
        most = MOST_OF_ALL if everything else MOST_NUMBERS

        def written(run: Run) -> bytes:
            return orjson.dumps(as_content(run, most=most))

        return self._repository.packed(run_id, written, "everything" if everything else "")

    def compare(self, ids: Sequence[str], *, visitor: str = "") -> RunComparison:
        """Lay stored runs of one kind beside each other; others differ from the first.

        Traces are aligned token by token where their tokenizers agree, else by characters; cache
        runs step by step, speculative runs round by round, sweeps point by point.

        Args:
            ids: of 2 to 6 different runs.
            visitor: private name of who asks.

        Raises:
            UserError: if there is no such run, their kinds differ or cannot be compared, one stands
                there twice, or in hosted mode one is another visitor's.
        """
        refuse_ids(ids)
        runs = [self.open(run_id, visitor=visitor) for run_id in ids]
        for run in runs:
            if run.owner and run.owner != visitor:
                raise UserError(
                    f"{run.id} is another visitor's run: open its link and run its request to have "
                    "one of your own, then compare that"
                )
        return compare_runs(runs)

    def query(self, sql: str, *, visitor: str = "", rows: int | None = None) -> pa.Table:
        """Return the rows of one SELECT over stored runs.

        In hosted mode these are the shared ones and, for a named visitor, that one's own.

        Args:
            sql: in DuckDB's dialect; the columns are in docs/columns.md.
            visitor: private name of who asks.
            rows: most rows, at most a hundred times the setting ``query_rows``, which is usual;
                the schema's metadata says under ``truncated`` whether there are more.

        Raises:
            UserError: if it is not one SELECT, or takes too long.
        """
        try:
            sql.encode("utf-8")
        except (UnicodeEncodeError, AttributeError) as error:
            raise UserError(f"sql={sql!r:.60} is no text in UTF-8: write one SELECT") from error
        most = MOST_TIMES * self.settings.query_rows
        if rows is not None and not 1 <= rows <= most:
            raise UserError(f"rows={rows}: give 1 to {most:,}")
        return self._repository.query(sql, visitor, rows)

    def query_file(self, sql: str, format: TableFormat = "csv", *, visitor: str = "") -> bytes:  # noqa: A002
        """Return the rows of one SELECT as a file: at most a hundred times those of ``query``.

        Args:
            sql: as for ``query``.
            format: ``csv`` or ``parquet``.
            visitor: private name of who asks.

        Raises:
            UserError: as ``query`` does, or if the file would be too large.
        """
        found = self.query(sql, visitor=visitor, rows=MOST_TIMES * self.settings.query_rows)
        written = table_file(found, format)
        if len(written) > MOST_FILE_BYTES:
            raise UserError(
                f"the file would have {len(written):,} bytes, over {MOST_FILE_BYTES:,}: select "
                "fewer columns or rows"
            )
        return written

    @property
    def storage_note(self) -> str:
        """What to know of stored runs: how long they last, what was done to an older database."""
        upgraded = "" if self.settings.hosted else self._repository.store.upgraded
        return " ".join(filter(None, (storage_note(self.settings), upgraded)))
