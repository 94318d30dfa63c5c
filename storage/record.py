"""The description of a stored run, without its arrays."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class RunRecord(BaseModel):
    """One row of ``runs``.

    ``owner`` is empty for shared runs, else the private name of a visitor; ``facts`` are the
    result's fields that are not arrays; ``key`` is the content address of the request. ``methods``
    are the slugs of what was asked by family, such as ``{"policy": ("h2o",)}``; ``tags`` and
    ``note`` are what people wrote about the run.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    key: str
    model: str
    text: str
    created: datetime
    duration_ms: float
    request: dict[str, Any]
    facts: dict[str, Any]
    environment: dict[str, Any]
    owner: str = ""
    pinned: bool = False
    note: str = ""
    tags: tuple[str, ...] = ()
    methods: dict[str, tuple[str, ...]] = {}


class ListedRun(RunRecord):
    """A run as it is listed, with what its arrays take."""

    array_bytes: int = 0
    """Compressed bytes of its arrays; 0 where they were dropped."""
    arrays_dropped: bool = False
