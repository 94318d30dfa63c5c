"""A run and its stored description: one made from the other, in both directions."""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.kind import KINDS, Kind, imported
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.result import Result
from tokenarium.backend.runs.run import Run
from tokenarium.storage.record import RunRecord


def new_id() -> str:
    """Return an id for a run that nobody can guess."""
    return secrets.token_urlsafe(16)


def new_run(
    run_id: str,
    request: Request,
    result: Result,
    duration_ms: float,
    environment: dict[str, Any],
    owner: str,
) -> Run:
    """Return a run as it was computed just now."""
    return Run(
        id=run_id,
        request=request,
        result=result,
        created=datetime.now(UTC),
        duration_ms=duration_ms,
        environment={**environment, "schema_version": result.schema_version},
        cached=False,
        owner=owner,
    )


def record_of(run: Run, request: ModelRequest, key: str, *, pinned: bool) -> RunRecord:
    """Return what is stored of ``run`` beside its tables and arrays.

    Args:
        run: as computed.
        request: the run's.
        key: content address.
        pinned: whether its arrays stay when space runs out.
    """
    return RunRecord(
        id=run.id,
        kind=request.kind,
        key=key,
        model=request.model,
        text=request.given_text,
        created=run.created,
        duration_ms=run.duration_ms,
        request=request.model_dump(mode="json"),
        facts=run.result.facts(),
        environment=run.environment,
        owner=run.owner,
        pinned=pinned,
        methods=request.methods,
    )


def run_of(record: RunRecord, arrays: Callable[[], Mapping[str, NDArray[Any]]]) -> Run:
    """Return the run that ``record`` describes.

    Args:
        record: as stored.
        arrays: fetches its arrays; not called for a run that cannot be read.

    Raises:
        UserError: if a version of this program stored it that meant something else.
    """
    kind, request = asked(record)
    version = record.environment.get("schema_version")
    if why := why_unreadable(kind, version):
        raise UserError(f"run {record.id!r} {why}")
    stored = arrays()
    with _in_words_of_versions(record):
        result = result_of(kind, record.facts, stored, version)
    return Run(
        id=record.id,
        request=request,
        result=result,
        created=record.created,
        duration_ms=record.duration_ms,
        environment=record.environment,
        cached=True,
        owner=record.owner,
    )


def asked(record: RunRecord) -> tuple[Kind, ModelRequest]:
    """Return the kind of a stored run and what was asked.

    Raises:
        UserError: if this version of the program knows no such kind or no such request.
    """
    with _in_words_of_versions(record):
        kind = KINDS.find(record.kind)
        return kind, kind.request.model_validate(record.request)


def why_unreadable(kind: Kind, version: object) -> str:
    """Return why a result that was stored with a schema version cannot be read; empty if it can."""
    result = kind.result_class
    if not isinstance(version, int) or version > result.schema_version:
        return "was stored by another version of this program, a newer one: update this one"
    if version < result.meaning_version() and not kind.upgrade:
        return (
            "was stored by another version of this program, to which its numbers meant something "
            "else: measure it again"
        )
    return ""


def result_of(
    kind: Kind, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], version: object
) -> Result:
    """Return the result that was stored, mended where the kind can.

    Raises:
        ValueError, TypeError, KeyError: if it cannot be read.
    """
    if why := why_unreadable(kind, version):
        raise ValueError(f"the result {why}")
    result = kind.result_class
    if isinstance(version, int) and version < result.meaning_version():
        facts, arrays = imported(kind.upgrade)(dict(facts), dict(arrays), version)
    return result.from_stored(facts, arrays)


def lacking(run: Run, needs: Collection[str]) -> tuple[str, ...]:
    """Return those of ``needs`` that the version which stored the run did not measure."""
    missing = run.missing
    return tuple(name for name in needs if name in missing)


def refuse_unknown(kind: Kind, names: Collection[str]) -> None:
    """Refuse names that are no quantities of a kind of run.

    Raises:
        UserError: naming the quantities there are.
    """
    known = kind.result_class.quantities()
    for name in names:
        if name not in known:
            raise UserError(
                f"{name!r} is no quantity of a {kind.slug}: choose among {', '.join(known)}"
            )


@contextmanager
def _in_words_of_versions(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"run {record.id!r} was stored by another version of this program and cannot be read: "
            "ask its text again"
        ) from error
