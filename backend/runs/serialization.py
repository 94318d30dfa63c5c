"""A run and its stored description: one made from the other, in both directions."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.kind import KINDS
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
    )


def run_of(record: RunRecord, arrays: Callable[[], Mapping[str, NDArray[Any]]]) -> Run:
    """Return the run that ``record`` describes.

    Args:
        record: as stored.
        arrays: fetches its arrays; not called for a run that cannot be read.

    Raises:
        UserError: if another version of this program stored it.
    """
    with _told_of_another_version(record):
        kind = KINDS.find(record.kind)
        request = kind.request.model_validate(record.request)
        if record.environment.get("schema_version") != kind.result_class.schema_version:
            raise ValueError("another schema version")
    stored = arrays()
    with _told_of_another_version(record):
        result = kind.result_class.from_stored(record.facts, stored)
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


@contextmanager
def _told_of_another_version(record: RunRecord) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"run {record.id!r} was stored by another version of this program and cannot be read: "
            "run its text again"
        ) from error
