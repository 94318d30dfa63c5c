"""Opened runs are kept within a bound, and nobody can change what is kept."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenarium.backend.runs.run_cache import RunCache


def record(name: str, minute: int = 0) -> Any:
    return SimpleNamespace(id=name, created=datetime(2026, 1, 1, 0, minute, tzinfo=UTC))


def run_of(size: int) -> Any:
    arrays = {"values": np.zeros(size, np.uint8)}
    return SimpleNamespace(result=SimpleNamespace(arrays=lambda: arrays))


class Reader:
    """Counts how often a run is read."""

    def __init__(self, size: int = 10) -> None:
        self.size, self.reads = size, 0

    def __call__(self) -> Any:
        self.reads += 1
        return run_of(self.size)


def test_a_run_is_read_once() -> None:
    opened, reader = RunCache(), Reader()
    first = opened.get(record("a"), reader)
    assert opened.get(record("a"), reader) is first
    assert reader.reads == 1


def test_a_run_made_anew_under_the_same_id_is_read_again() -> None:
    opened, reader = RunCache(), Reader()
    opened.get(record("a", 0), reader)
    opened.get(record("a", 1), reader)
    assert reader.reads == 2


def test_the_least_recently_used_go_first() -> None:
    opened, readers = RunCache(most_bytes=25), {name: Reader() for name in "abc"}
    for name in "abac":
        opened.get(record(name), readers[name])
    opened.get(record("a"), readers["a"])
    assert readers["a"].reads == 1
    opened.get(record("b"), readers["b"])
    assert readers["b"].reads == 2


def test_a_run_larger_than_the_bound_is_not_kept() -> None:
    opened, reader = RunCache(most_bytes=5), Reader()
    opened.get(record("a"), reader)
    opened.get(record("a"), reader)
    assert reader.reads == 2


def test_what_is_kept_cannot_be_changed() -> None:
    found = RunCache().get(record("a"), Reader())
    with pytest.raises(ValueError, match="read-only"):
        found.result.arrays()["values"][0] = 1
