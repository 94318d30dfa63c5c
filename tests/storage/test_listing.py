"""Runs are found by what they are and by what people wrote beside them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tokenarium.storage import RunNotFound
from tokenarium.storage.listing import Wanted

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def filled(store, make_record):
    """Four runs, one of them private."""
    for number, (run_id, values) in enumerate(
        {
            "a": {"methods": {"policy": ("h2o", "full")}, "tags": ("sink", "chapter 1")},
            "b": {"methods": {"drafter": ("prompt_lookup",), "rule": ("greedy",)}, "pinned": True},
            "c": {"note": "Look at layer 3", "tags": ("sink",), "kind": "cache"},
            "d": {"owner": "me", "tags": ("own",), "methods": {"policy": ("h2o",)}},
        }.items()
    ):
        created = DAY + timedelta(days=number)
        arrays = {"x": np.zeros(100)} if run_id != "b" else {}
        store.save(make_record(id=run_id, created=created, **values), {}, arrays)
    return store


def _found(store, owner=None, **wanted):
    assert store.count(Wanted(**wanted), owner) == len(store.search(owner=owner, **wanted))
    return [run.id for run in store.search(owner=owner, **wanted)]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"method": "h2o"}, ["a"]),
        ({"method": "greedy"}, ["b"]),
        ({"tag": "sink"}, ["c", "a"]),
        ({"tag": "own"}, []),
        ({"tag": "sin"}, []),
        ({"pinned": True}, ["b"]),
        ({"pinned": False}, ["c", "a"]),
        ({"text": "LAYER 3"}, ["c"]),
        ({"since": DAY + timedelta(days=1)}, ["c", "b"]),
        ({"until": DAY + timedelta(days=1)}, ["a"]),
        ({"tag": "sink", "method": "full", "kind": "trace"}, ["a"]),
    ],
)
def test_search_finds_by_method_tag_pin_note_and_date(filled, wanted, ids):
    assert _found(filled, **wanted) == ids


def test_search_lists_own_runs_by_their_labels_to_their_owner_alone(filled):
    assert _found(filled, owner="me", tag="own") == ["d"]
    assert _found(filled, owner="me", method="h2o") == ["d", "a"]
    assert _found(filled, owner="you", tag="own") == []


def test_search_returns_labels_and_size(filled):
    found = {run.id: run for run in filled.search(owner="me")}
    assert found["a"].tags == ("chapter 1", "sink")
    assert found["a"].methods == {"policy": ("h2o", "full")}
    assert found["c"].note == "Look at layer 3"
    assert found["a"].array_bytes > 0 == found["b"].array_bytes
    assert filled.record("b").methods == {"drafter": ("prompt_lookup",), "rule": ("greedy",)}


def test_choices_count_what_a_visitor_may_list(filled):
    shared, own = filled.choices(), filled.choices("me")
    assert shared.tags == {"chapter 1": 1, "sink": 2}
    assert shared.methods == {"full": 1, "greedy": 1, "h2o": 1, "prompt_lookup": 1}
    assert shared.kinds == {"cache": 1, "trace": 2}
    assert own.tags["own"] == 1
    assert own.methods["h2o"] == 2


def test_tags_and_note_are_written_replaced_and_deleted_with_the_run(filled):
    filled.set_tags("b", ["new", "new", "other"])
    filled.set_note("b", "first")
    filled.set_note("b", "second")
    assert filled.record("b").tags == ("new", "other")
    assert filled.record("b").note == "second"
    filled.set_tags("b", [])
    assert filled.record("b").tags == ()
    filled.delete("a")
    assert "chapter 1" not in filled.choices().tags
    for write in (filled.set_tags, filled.set_note):
        with pytest.raises(RunNotFound):
            write("a", "x")


def test_run_that_takes_the_place_of_another_has_its_tags_and_note(filled, make_record):
    again = make_record(id="c", methods={"policy": ("full",)})
    filled.save(again, {}, {}, replace=True)
    now = filled.record("c")
    assert (now.tags, now.note) == (("sink",), "Look at layer 3")
    assert now.methods == {"policy": ("full",)}
    assert _found(filled, method="full") == ["a", "c"]


def test_contents_say_what_there_is_and_what_goes_first(filled):
    held = filled.contents("me")
    assert {kind.kind: kind.runs for kind in held.kinds} == {"cache": 1, "trace": 3}
    assert held.runs == 4
    assert held.array_bytes == sum(run.array_bytes for run in filled.search(owner="me"))
    assert held.next_dropped.run_id == "a", "the oldest that is not pinned and has arrays"
    assert held.next_deleted.run_id == "d"
    assert filled.contents().runs == 3
    assert filled.contents().next_deleted is None


def test_contents_of_a_file_have_its_size(duck, make_record):
    duck.save(make_record(), {}, {"x": np.random.default_rng(0).random(50_000)})
    assert duck.contents().file_bytes > 300_000
    assert duck.contents().kinds[0].dropped == 0
