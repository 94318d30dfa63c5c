"""Stored runs as people see them: whose they are, how long they stay, and how they come back."""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa

from tokenarium.backend.environment import timing_identity
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.runs.kind import Kind, imported, kind_of
from tokenarium.backend.runs.packed import Packed, PackedRuns
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.run_cache import RunCache
from tokenarium.backend.runs.serialization import asked, record_of, run_of, why_unreadable
from tokenarium.backend.settings import Settings
from tokenarium.storage import ArraysDropped, RunNotFound, RunStore, StoreError
from tokenarium.storage.listing import Wanted
from tokenarium.storage.record import ListedRun, RunRecord

_EXPIRE_EVERY_S = 600.0
_SOMEONE_ELSE = "another visitor"


class RunRepository:
    """The run store with the rules of the current mode.

    Outside hosted mode every run is shared. In hosted mode a run belongs to its visitor: listed
    and served from the cache for that visitor only, open to others who have its link, and deleted
    after ``hosted_keep_hours``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        with told_in_words():
            self.store = RunStore(
                settings.database,
                limit_bytes=settings.database_limit_mb * 2**20,
                query_rows=settings.query_rows,
                query_seconds=settings.query_seconds,
            )
        self._opened = RunCache()
        self._packed = PackedRuns()
        self._expired_at = -_EXPIRE_EVERY_S
        self._expiring = threading.Lock()
        self.expire()

    def owner(self, visitor: str) -> str:
        """Return the owner of what ``visitor`` runs: empty for shared.

        Raises:
            UserError: in hosted mode without a visitor, whose runs would be everybody's.
        """
        if not self._settings.hosted:
            return ""
        if not visitor:
            raise UserError("visitor='' in hosted mode: pass the visitor's private name")
        return str(visitor)

    def key(self, request: ModelRequest, fingerprint: str) -> str:
        """Return the content address of the answer to ``request``.

        Args:
            request: what is asked.
            fingerprint: of model and tokenizer; of several models, with spaces between; at the end
                that of the ids, where a chat template makes them.
        """
        return self._key(request, fingerprint, kind_of(request).result_class.meaning_version())

    def find(self, request: ModelRequest, fingerprint: str, owner: str) -> Run | None:
        """Return the stored answer to ``request`` that ``owner`` may be served, if any."""
        kind = kind_of(request)
        newest = kind.result_class.meaning_version()
        for version in range(newest, 0 if kind.upgrade else newest - 1, -1):
            try:
                record = self.store.find(self._key(request, fingerprint, version), owner)
            except StoreError:  # what cannot be read is computed
                return None
            # Nothing to show any more, or stored by another version: compute it again.
            with contextlib.suppress(ArraysDropped, UserError):
                if record is not None and _answers(kind, run := self._run(record)):
                    return run
        return None

    @contextlib.contextmanager
    def computing(
        self, request: ModelRequest, fingerprint: str, owner: str, waiting: Callable[[], None]
    ) -> Iterator[None]:
        """Let no other replica on the same database compute this meanwhile.

        Args:
            request: what is asked.
            fingerprint: as ``key`` takes it; empty where it is not known, which waits for nobody.
            owner: whose run it will be.
            waiting: called while another replica computes it; raises to give up.
        """
        if not fingerprint:
            yield
            return
        with self.store.computing(self.key(request, fingerprint), owner, waiting):
            yield

    def _key(self, request: ModelRequest, fingerprint: str, version: int) -> str:
        identity = [fingerprint, str(version)]
        if request.depends_on_limit:
            identity.append(f"limit {self._settings.token_limit}")
        if kind_of(request).timed:
            identity += timing_identity(self._settings.device)
        return request.key(*identity)

    def save(self, run: Run, *, replace: bool = False) -> Run:
        """Store ``run``; if that fails, return it all the same with the reason beside it.

        Args:
            run: as computed.
            replace: whether it takes the place of a run that is stored under its id, pinned as
                that was.
        """
        try:
            notes = self._store(run, pinned=False, replace=replace)
        except StoreError as error:
            notes = [f"not stored, so its link will not work: {error}"]
        said = {"storage": "; ".join(notes)} if notes else {}
        return dataclasses.replace(run, environment=run.environment | said)

    def has(self, run_id: str) -> bool:
        """Whether a run with this id is stored."""
        try:
            self.store.record(run_id)
        except StoreError:
            return False
        return True

    def is_current(self, run_id: str, created: datetime, version: int) -> bool:
        """Whether a run is stored that can be read and is not older than a shipped one.

        Args:
            run_id: of both.
            created: when the shipped one was computed.
            version: schema version of the shipped one.
        """
        try:
            record = self.store.record(run_id)
            kind, _ = asked(record)
        except (RunNotFound, UserError):
            return False
        stored = record.environment.get("schema_version")
        if not isinstance(stored, int) or why_unreadable(kind, stored):
            return False
        return record.created >= created and stored >= version

    def adopt(self, run: Run) -> None:
        """Store a shipped run under its own id, in place of an older one; keep it for good."""
        self._store(run, pinned=True, replace=True)

    def to_measure(self, run_id: str, owner: str) -> tuple[ModelRequest, str]:
        """Return the request and owner of a stored run that ``owner`` may have computed again.

        Raises:
            UserError: if there is none, or in hosted mode if it is another's or shared.
        """
        with told_in_words():
            record = self.store.record(run_id)
        if self._settings.hosted and record.owner != owner:
            raise UserError(f"run {run_id!r} is not yours: run its request to have one of your own")
        return asked(record)[1], record.owner

    def open(self, run_id: str, visitor: str = "") -> Run:
        """Return a stored run; knowing its id is the permission.

        Raises:
            UserError: if there is none, its arrays were dropped, or its version cannot be read.
        """
        with told_in_words():
            run = self._run(self.store.record(run_id))
        hidden = run.owner and run.owner != visitor
        return dataclasses.replace(run, owner=_SOMEONE_ELSE) if hidden else run

    def packed(self, run_id: str, write: Callable[[Run], bytes], name: str) -> Packed:
        """Return a stored run as JSON, which is written once; knowing its id is the permission.

        Args:
            run_id: of the run.
            write: returns the JSON of a run.
            name: of that JSON, which another ``write`` has another of.

        Raises:
            UserError: as ``open`` does.
        """
        with told_in_words():
            created = self.store.created(run_id)
        return self._packed.get((run_id, created, name), lambda: write(self.open(run_id)))

    def search(
        self, wanted: Wanted, *, visitor: str = "", limit: int = 50, offset: int = 0
    ) -> list[ListedRun]:
        """Return descriptions of shared runs and of the visitor's own, newest first.

        Args:
            wanted: what is looked for.
            visitor: private name of who asks; matters in hosted mode only.
            limit: most descriptions.
            offset: how many to skip.
        """
        self.expire()
        with told_in_words():
            return self.store.search(wanted, owner=self.lists(visitor), limit=limit, offset=offset)

    def lists(self, visitor: str) -> str | None:
        """Return whose private runs ``visitor`` may list beside the shared ones, if anybody's."""
        return str(visitor) if self._settings.hosted and visitor else None

    def change(self, run_id: str, visitor: str, what: str) -> RunRecord:
        """Return a run that ``visitor`` may change: in hosted mode a visitor's own only.

        Args:
            run_id: of the run.
            visitor: private name of who asks.
            what: is done to it, as the words of a refusal say: delete, tag, write a note on.

        Raises:
            UserError: if there is no such run, or it is not the visitor's.
        """
        with told_in_words():
            record = self.store.record(run_id)
        if self._settings.hosted and record.owner != self.owner(visitor):
            raise UserError(f"run {run_id!r} is not yours: only its owner can {what} it")
        return record

    def delete(self, run_id: str, visitor: str = "") -> None:
        """Delete a run; in hosted mode a visitor's own only.

        Raises:
            UserError: if there is no such run, or it is not the visitor's.
        """
        self.change(run_id, visitor, "delete")
        with told_in_words():
            self.store.delete(run_id)

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keep the arrays of a run even when space runs out; refused in hosted mode.

        Raises:
            UserError: if there is no such run, or in hosted mode.
        """
        if self._settings.hosted:
            raise UserError(
                "pin is not offered here: this public page keeps nobody's runs for long"
            )
        with told_in_words():
            self.store.pin(run_id, pinned)

    def query(self, sql: str, visitor: str = "", rows: int | None = None) -> pa.Table:
        """Return the rows of one SELECT; in hosted mode over shared and the visitor's own runs."""
        hosted = self._settings.hosted
        with told_in_words():
            return self.store.query(
                sql, shared_only=hosted, owner=self.lists(visitor) or "", rows=rows
            )

    def expire(self) -> None:
        """Delete visitors' runs that are too old; looks at most every ten minutes."""
        now = time.monotonic()
        with self._expiring:
            if not self._settings.hosted or now - self._expired_at < _EXPIRE_EVERY_S:
                return
            self._expired_at = now
        with contextlib.suppress(StoreError):  # on a full disk: later
            self.store.delete_older(self._settings.hosted_keep_hours, owned_only=True)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _store(self, run: Run, *, pinned: bool, replace: bool = False) -> list[str]:
        assert isinstance(run.request, ModelRequest)
        read = (
            run.environment[name] for name in ("fingerprint", "rendered") if name in run.environment
        )
        key = self.key(run.request, " ".join(read))
        record = record_of(run, run.request, key, pinned=pinned)
        tables, arrays = run.result.tables(), run.result.arrays()
        return self.store.save(record, tables, arrays, replace=replace)

    def _run(self, record: RunRecord) -> Run:
        return self._opened.get(
            record, lambda: run_of(record, lambda: self.store.arrays(record.id))
        )


def _answers(kind: Kind, run: Run) -> bool:
    """Return whether a stored run is still what its request asks for."""
    version: int = run.environment["schema_version"]
    current = version >= kind.result_class.schema_version
    return current or not kind.answers or bool(imported(kind.answers)(run, version))
