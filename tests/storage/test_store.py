"""What is saved is found, read back, searched and deleted, on every kind of database."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import text

from tokenarium.storage import ArraysDropped, RunNotFound, RunStore

ARRAYS = {"sink_score": np.arange(6, dtype=np.float32).reshape(2, 3), "ids": np.arange(5)}


def _rows(store, sql):
    with store._open._database().engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def test_save_then_record_and_arrays_return_the_same(store, make_record, make_tables):
    facts = {"rate": 0.25, "nan": float("nan"), "none": None, "names": ["a", "b"], "n": 3}
    record = make_record(facts=facts, text="naïve 🙂\n\t'\"% _", owner="someone")
    assert store.save(record, make_tables(), ARRAYS) == []
    back = store.record(record.id)
    assert back.model_dump(exclude={"facts"}) == record.model_dump(exclude={"facts"})
    assert np.isnan(back.facts.pop("nan"))
    assert back.facts == {k: v for k, v in facts.items() if k != "nan"}
    arrays = store.arrays(record.id)
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_save_survives_reopening(url, make_record, make_tables):
    record = make_record()
    with RunStore(url) as store:
        store.save(record, make_tables(), ARRAYS)
    with RunStore(url) as store:
        assert store.find(record.key) == record
        np.testing.assert_array_equal(store.arrays(record.id)["ids"], ARRAYS["ids"])


def test_save_writes_rows_with_nan_as_null(store, make_record, make_tables):
    record, tables = make_record(), make_tables(7)
    store.save(record, tables, {})
    rows = _rows(store, "SELECT run_id, position, token, surprisal_nats FROM tokens ORDER BY 2")
    assert [row[:3] for row in rows] == [(record.id, i, f"t{i}") for i in range(7)]
    expected = tables["tokens"]["surprisal_nats"].to_pylist()[1:]
    assert rows[0][3] is None
    assert [row[3] for row in rows[1:]] == pytest.approx(expected)
    assert _rows(store, "SELECT count(*) FROM head_metrics") == [(6,)]


def test_save_of_a_long_run_keeps_every_token(store, make_record, make_tables):
    store.save(make_record(), make_tables(32_768), {})
    assert _rows(store, "SELECT count(*), max(position) FROM tokens") == [(32_768, 32_767)]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"runs": pa.table({"position": [1]})}, "'runs' is not declared"),
        ({"tokens": pa.table({"position": [1], "color": ["red"]})}, "color"),
        ({"tokens": pa.table({"position": [1]})}, "lacks the columns.*token_id"),
        ({"tokens": pa.table({"run_id": ["other"]})}, "run_id"),
    ],
)
def test_save_refuses_undeclared_tables_and_columns(store, make_record, tables, said):
    with pytest.raises(ValueError, match=said):
        store.save(make_record(), tables, {})
    assert store.search() == []


def test_save_of_a_bad_column_leaves_nothing(store, make_record, make_tables):
    bad = {"tokens": make_tables()["tokens"].set_column(1, "token_id", [["x"] * 5])}
    with pytest.raises(pa.ArrowInvalid):
        store.save(make_record(id="bad"), bad, ARRAYS)
    with pytest.raises(RunNotFound):
        store.record("bad")
    assert _rows(store, "SELECT count(*) FROM tokens") == [(0,)]


def test_save_refuses_an_id_twice_and_keeps_the_first(store, make_record, make_tables):
    store.save(make_record(id="one", text="first"), make_tables(), ARRAYS)
    with pytest.raises(ValueError, match="'one' is stored already"):
        store.save(make_record(id="one", text="second"), make_tables(), ARRAYS)
    assert store.record("one").text == "first"
    assert _rows(store, "SELECT count(*) FROM tokens") == [(5,)]


def test_save_refuses_a_time_without_zone(store, make_record):
    with pytest.raises(Exception, match="has no time zone"):
        store.save(make_record(created=datetime(2026, 1, 1)), {}, {})


def test_created_is_the_same_moment_in_utc(store, make_record):
    local = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    store.save(make_record(id="a", created=local), {}, {})
    created = store.record("a").created
    assert created == local
    assert created.tzinfo == UTC


def test_find_returns_the_newest_that_the_owner_may_see(store, make_record):
    for run_id, owner in [("old", ""), ("shared", ""), ("mine", "me"), ("theirs", "them")]:
        store.save(make_record(id=run_id, key="k", owner=owner), {}, {})
    assert store.find("k").id == "shared"
    assert store.find("k", "me").id == "mine"
    assert store.find("k", "them").id == "theirs"
    assert store.find("other", "me") is None


def test_record_and_arrays_of_an_unknown_run_say_so(store):
    for read in (store.record, store.arrays, store.delete, lambda i: store.pin(i, True)):
        with pytest.raises(RunNotFound, match=r"^run 'nope' is not stored"):
            read("nope")
    with pytest.raises(KeyError):
        store.record("nope")


def test_arrays_of_a_run_without_arrays_are_empty(store, make_record):
    store.save(make_record(id="a"), {}, {})
    assert store.arrays("a") == {}


def test_search_lists_newest_first_and_shared_only(store, make_record):
    for run_id, owner in [("a", ""), ("b", "me"), ("c", ""), ("d", "them")]:
        store.save(make_record(id=run_id, owner=owner), {}, {})
    assert [run.id for run in store.search()] == ["c", "a"]
    assert [run.id for run in store.search(owner="me")] == ["c", "b", "a"]
    assert [run.id for run in store.search(limit=1, offset=1)] == ["a"]
    assert store.search()[0].facts == {"sink_rate": 0.5}


def test_search_filters_by_kind_model_and_literal_text(store, make_record):
    texts = {"a": "100% sure", "b": "100 sure", "c": "snake_case", "d": "snakeXcase", "e": "a\\b"}
    for run_id, words in texts.items():
        store.save(make_record(id=run_id, text=words, kind=f"kind-{run_id}", model=run_id), {}, {})
    found = {
        words: sorted(run.id for run in store.search(text=words))
        for words in ("0%", "SNAKE_", "sure", "a\\b", "absent", "'; DROP TABLE runs")
    }
    assert found == {
        "0%": ["a"],
        "SNAKE_": ["c"],
        "sure": ["a", "b"],
        "a\\b": ["e"],
        "absent": [],
        "'; DROP TABLE runs": [],
    }
    assert [run.id for run in store.search(kind="kind-b")] == ["b"]
    assert [run.id for run in store.search(model="c")] == ["c"]


def test_delete_removes_every_row_of_that_run_alone(store, make_record, make_tables):
    for run_id in ("a", "b"):
        store.save(make_record(id=run_id), make_tables(), ARRAYS)
    store.delete("a")
    for table in ("tokens", "head_metrics", "arrays", "parts"):
        assert {row[0] for row in _rows(store, f"SELECT run_id FROM {table}")} == {"b"}
    assert [run.id for run in store.search()] == ["b"]


def test_delete_older_spares_young_shared_and_pinned_runs(store, make_record):
    now = datetime.now(UTC)
    ages = {"old": 25, "young": 23, "pinned": 99, "shared": 99}
    for run_id, hours in ages.items():
        owner = "" if run_id == "shared" else "visitor"
        created = now - timedelta(hours=hours)
        store.save(make_record(id=run_id, owner=owner, created=created), {}, {})
    store.pin("pinned", True)
    assert store.delete_older(24) == 1
    assert {run.id for run in store.search(owner="visitor")} == {"young", "pinned", "shared"}
    assert store.delete_older(24, owned_only=False) == 1
    assert {run.id for run in store.search(owner="visitor")} == {"young", "pinned"}


def test_size_limit_drops_arrays_of_the_oldest_unpinned_runs(url, make_record, make_tables):
    noise = {"noise": np.random.default_rng(0).random(10_000)}
    with RunStore(url, limit_bytes=200_000) as store:
        assert store.save(make_record(id="pinned", key="p"), make_tables(), noise) == []
        store.pin("pinned", True)
        assert store.save(make_record(id="old", key="o"), make_tables(), noise) == []
        notes = store.save(make_record(id="new", key="n"), make_tables(), noise)
        assert notes == ["dropped the arrays of 1 older run to keep arrays within 200000 bytes"]
        with pytest.raises(ArraysDropped, match="'old' were dropped"):
            store.arrays("old")
        assert store.record("old").facts["token_text"] == ["Once", " upon"]
        assert store.find("o") is None
        assert [len(store.arrays(name)["noise"]) for name in ("pinned", "new")] == [10_000] * 2
        assert _rows(store, "SELECT count(*) FROM tokens") == [(15,)]


def test_size_limit_drops_the_oldest_of_several_first(url, make_record):
    noise = {"x": np.random.default_rng(1).integers(0, 256, 50_000, dtype=np.uint8)}

    def kept(store):
        return {run.id for run in map(store.find, ages) if run is not None}

    ages = {"middle": 2, "oldest": 3, "newest": 1}
    with RunStore(url, limit_bytes=170_000) as store:
        for run_id, days in ages.items():
            created = datetime(2026, 1, 10, tzinfo=UTC) - timedelta(days=days)
            store.save(make_record(id=run_id, key=run_id, created=created), {}, noise)
        for left in ({"middle", "newest"}, {"newest"}, set()):
            store.save(make_record(pinned=True), {}, noise)
            assert kept(store) == left


def test_size_limit_keeps_the_run_just_saved_and_says_so(url, make_record):
    with RunStore(url, limit_bytes=10) as store:
        notes = store.save(make_record(id="a"), {}, ARRAYS)
        assert len(notes) == 1
        assert "over the limit of 10" in notes[0]
        assert set(store.arrays("a")) == set(ARRAYS)


def test_digest_is_known_only_for_the_file_as_it_was(store):
    assert store.digest("/models/a", 10, 20) is None
    store.remember_digest("/models/a", 10, 20, "abc")
    assert store.digest("/models/a", 10, 20) == "abc"
    assert store.digest("/models/a", 10, 21) is None
    assert store.digest("/models/a", 11, 20) is None
    store.remember_digest("/models/a", 11, 2**62, "def")
    assert store.digest("/models/a", 11, 2**62) == "def"
    assert store.digest("/models/a", 10, 20) is None


def test_text_with_nul_is_kept_where_the_database_can_hold_it(store, make_record, make_tables):
    tables = make_tables(3)
    tables["tokens"] = tables["tokens"].set_column(2, "token", [["a", "\0", "b\0"]])
    asked = {"text": "x\0y"}
    store.save(make_record(id="nul", text="x\0y", request=asked), tables, {})
    assert store.record("nul").request == asked
    shown = store.record("nul").text
    assert shown in ("x\0y", "x␀y")
    assert [run.id for run in store.search(text="x\0y")] == ["nul"]
