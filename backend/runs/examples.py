"""Example runs, computed by the real code and shipped, so that the first paint needs no model."""

import json
import logging
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenarium.backend.runs.kind import KINDS, Example, kind_of
from tokenarium.backend.runs.run import Run
from tokenarium.backend.runs.serialization import result_of
from tokenarium.backend.settings import PROJECT
from tokenarium.storage import StoreError

if TYPE_CHECKING:
    from tokenarium.backend.runs.repository import RunRepository

FOLDER = PROJECT / "assets" / "examples"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, StoreError)


def declared() -> tuple[Example, ...]:
    """Return the examples of every kind, those of one kind in the order it names them."""
    return tuple(example for kind in KINDS.all() for example in kind.examples)


def install(library: "RunRepository", folder: Path | None = None) -> tuple[Example, ...]:
    """Put shipped runs into the store as shared, pinned runs, and return the examples it holds.

    A shipped run replaces one that is older, or stored by an older version. What cannot be read is
    logged and left out, because the page works without it.

    Args:
        library: where runs are stored.
        folder: with ``SLUG.json`` and ``SLUG.npz`` per example; None for the shipped ones.
    """
    folder = folder or FOLDER
    found = []
    for example in declared():
        if not (folder / f"{example.slug}.json").is_file():
            continue
        try:
            described = _described(example, folder)
            created = datetime.fromisoformat(described["created"])
            version = described["environment"]["schema_version"]
            if not library.is_current(example.run_id, created, version):
                library.adopt(read(example, folder))
        except _UNREADABLE as error:
            logging.getLogger(__name__).warning("example %s is left out: %s", example.slug, error)
        else:
            found.append(example)
    return tuple(found)


def read(example: Example, folder: Path = FOLDER) -> Run:
    """Return the shipped run of ``example``.

    Args:
        example: which.
        folder: with ``SLUG.json`` and ``SLUG.npz``.
    """
    described = _described(example, folder)
    with np.load(folder / f"{example.slug}.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    return Run(
        id=example.run_id,
        request=type(example.request).model_validate(described["request"]),
        result=result_of(
            kind_of(example.request),
            described["facts"],
            arrays,
            described["environment"]["schema_version"],
        ),
        created=datetime.fromisoformat(described["created"]),
        duration_ms=described["duration_ms"],
        environment=described["environment"],
        cached=True,
    )


def _described(example: Example, folder: Path) -> dict[str, Any]:
    text = (folder / f"{example.slug}.json").read_text(encoding="utf-8")
    described: dict[str, Any] = json.loads(text)
    return described
