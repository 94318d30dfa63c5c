"""Every run moves between the two databases, bit for bit, and an interrupted copy goes on."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from tokenarium.backend import cli
from tokenarium.storage import RunStore, StoreError, copying
from tokenarium.storage.copying import Copied, copy_runs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def places(postgresql, tmp_path):
    """A DuckDB file with three runs and a class, an empty server, and another file."""
    server = postgresql.new()
    yield f"duckdb:///{tmp_path}/from.duckdb", server, f"duckdb:///{tmp_path}/back.duckdb"
    postgresql.drop(server)


@pytest.fixture
def filled(places, make_record, make_tables):
    noise = np.random.default_rng(0).random(3_000)
    with RunStore(places[0]) as store:
        asked = {"text": "a\0b", "deep": [{"x": 0.1}]}
        labels = {"tags": ("a", "b"), "methods": {"policy": ("h2o",)}, "note": "kept"}
        store.save(
            make_record(id="one", request=asked, pinned=True, **labels),
            make_tables(20),
            {"x": noise, "y": np.float32([0.1, np.nan])},
        )
        store.save(make_record(id="private", owner="visitor"), {}, {"x": noise})
        store.save(make_record(id="two", duration_ms=0.1), make_tables(3), {})
        store.classes.add("code", "secret", "title", NOW)
        store.classes.member("code", "student", 60)
    return places


def test_runs_are_the_same_there_and_back(filled):
    source, server, back = filled
    assert copy_runs(source, server) == Copied(runs=3, there=0, newer=0)
    assert copy_runs(server, back) == Copied(runs=3, there=0, newer=0)
    assert copy_runs(source, back) == Copied(runs=0, there=3, newer=0)
    with RunStore(source) as one, RunStore(server) as two, RunStore(back) as three:
        for store in (two, three):
            for run_id in ("one", "private", "two"):
                assert store.record(run_id) == one.record(run_id)
                arrays = one.arrays(run_id)
                for name, array in store.arrays(run_id).items():
                    np.testing.assert_array_equal(array, arrays[name])
                    assert array.dtype == arrays[name].dtype
            assert store.classes.codes() == {"code"}
            assert store.classes.members("code") == 1
            assert [run.id for run in store.search()] == ["two", "one"], "private runs stay so"
        sums = "SELECT count(*) AS n, sum(entropy_nats) AS s FROM tokens"
        assert two.query(sums).to_pylist() == one.query(sums).to_pylist()


def test_an_interrupted_copy_goes_on(filled):
    source, server, _ = filled

    def stop(done, total):
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_runs(source, server, stop)
    with RunStore(server) as store:
        assert store.count(copying_all()) == 1, "one is private"
        with store._write(shared=True) as connection:
            connection.execute(text("DELETE FROM tokens WHERE run_id = 'one'"))
    assert copy_runs(source, server) == Copied(runs=2, there=1, newer=0), "one was damaged"


def test_a_run_that_was_computed_again_in_the_target_is_left(filled, make_record):
    source, server, _ = filled
    with RunStore(server) as store:
        store.save(make_record(id="two", text="newer", created=NOW + timedelta(days=9)), {}, {})
    assert copy_runs(source, server) == Copied(runs=2, there=0, newer=1)
    with RunStore(server) as store:
        assert store.record("two").text == "newer"


def test_a_run_that_is_not_the_same_when_read_back_ends_the_copy(filled, monkeypatch):
    put = copying._put

    def damaged(target, run_id, rows):
        put(target, run_id, {**rows, "tokens": rows["tokens"][1:]})

    monkeypatch.setattr(copying, "_put", damaged)
    with pytest.raises(StoreError, match="'one' is not the same when read back"):
        copy_runs(*filled[:2])


def test_the_command_says_what_it_did_and_what_is_wrong(filled, capsys):
    source, server, _ = filled
    assert cli.main(["copy", source, server]) == 0
    assert "3 runs were copied and read back equal, 0 were there" in capsys.readouterr().err
    assert cli.main(["copy", source, source]) == 2
    assert "are one database: name two" in capsys.readouterr().err
    assert cli.main(["copy", "duckdb:////no/such/place.duckdb", server]) == 2
    assert "does not exist" in capsys.readouterr().err


def copying_all():
    from tokenarium.storage.listing import Wanted

    return Wanted()
