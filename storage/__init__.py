"""Runs on disk: saved whole, found by content, searched, and queried with SQL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenarium.storage.errors import (
        ArraysDropped,
        DatabaseFailed,
        DatabaseGone,
        QueryRefused,
        RunNotFound,
        StoreError,
        StoreUnavailable,
    )
    from tokenarium.storage.record import RunRecord
    from tokenarium.storage.store import RunStore

__all__ = [
    "ArraysDropped",
    "DatabaseFailed",
    "DatabaseGone",
    "QueryRefused",
    "RunNotFound",
    "RunRecord",
    "RunStore",
    "StoreError",
    "StoreUnavailable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"storage has no {name!r}")
    home = {"RunRecord": "tokenarium.storage.record", "RunStore": "tokenarium.storage.store"}
    return getattr(import_module(home.get(name, "tokenarium.storage.errors")), name)
