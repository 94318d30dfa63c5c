"""A later version of the program, in which a kind of run measures one more quantity."""

import dataclasses
import functools
import sys
from typing import Any

import pytest

from tokenarium.backend.runs.kind import KINDS, Kind, imported
from tokenarium.backend.runs.result import Result, quantity

MARGIN = 0.25


def with_margin(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> type[Result]:
    """Let results of ``kind`` have a ``margin`` from now on, and its runs measure it."""
    compute = imported(kind.compute)  # before: what it imports must be the class as it is
    old = kind.result_class
    version = old.schema_version + 1
    margin = quantity("margin", "", "nats", "top 1 - top 2", "How sure.", since=version)
    new = dataclasses.make_dataclass(
        old.__name__,
        [("margin", float | None, margin)],
        bases=(old,),
        frozen=True,
        namespace={"schema_version": version, "__module__": old.__module__},
    )
    set_result_class(kind, new, monkeypatch)

    @functools.wraps(compute)
    def measured(*arguments: Any) -> Result:
        result = compute(*arguments)
        values = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        return new(**{**values, "margin": MARGIN})

    module, _, name = kind.compute.partition(":")
    monkeypatch.setattr(sys.modules[module], name, measured)
    return new


def set_result_class(kind: Kind, new: type[Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``kind`` find another class for its results."""
    module, _, name = kind.result.partition(":")
    monkeypatch.setattr(sys.modules[module], name, new)


def with_upgrade(kind: Kind, upgrade: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``kind`` mend what older versions stored."""
    monkeypatch.setitem(KINDS._entries, kind.slug, dataclasses.replace(kind, upgrade=upgrade))
