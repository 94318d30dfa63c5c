"""The description of a stored run, without its arrays."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class RunRecord(BaseModel):
    """One row of ``runs``.

    ``owner`` is empty for shared runs, else the private name of a visitor; ``facts`` are the
    result's fields that are not arrays; ``key`` is the content address of the request.
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
