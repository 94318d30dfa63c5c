"""Runs that are kept as compressed JSON: within a bound, and never those of before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from tests.runs.conftest import MODEL
from tests.runs.stand_in import CountRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.packed import PackedRuns

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_least_recently_used_go_first() -> None:
    written: list[str] = []

    def write(name: str) -> bytes:
        written.append(name)
        return name.encode() * 100

    size = len(PackedRuns().get(("a", MOMENT, ""), lambda: write("a")).data)
    runs = PackedRuns(most_bytes=2 * size)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert (
            runs.get((name, MOMENT, ""), lambda name=name: write(name)).text == name.encode() * 100
        )
        assert runs.bytes <= 2 * size
    assert written == ["a", "a", "b", "c", "b"]
    later = runs.get(("b", MOMENT + timedelta(seconds=1), ""), lambda: b"measured again")
    assert later.text == b"measured again"


def test_a_run_that_is_measured_again_is_written_again(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    run = lab.run(CountRequest(model=MODEL, text="one"))
    first = lab.packed(run.id)
    assert lab.packed(run.id) is first
    assert orjson.loads(first.text) == lab.content(run.id)
    again = lab.measure(run.id)
    list(lab.follow(again.id))
    second = lab.packed(run.id)
    assert orjson.loads(second.text) == lab.content(run.id)
    assert second.tag != first.tag
    lab.delete(run.id)
    with pytest.raises(UserError, match=run.id):
        lab.packed(run.id)
