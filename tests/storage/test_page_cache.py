"""What the database keeps in memory does not grow with its file."""

import numpy as np

from tokenarium.storage import RunStore, database

RUNS, BYTES, MOST = 8, 4 * 2**20, 24 * 10**6


def held(store: RunStore) -> int:
    """Return the bytes that DuckDB holds."""
    opened = store._open._database().duck
    assert opened is not None
    (found,) = (
        opened.cursor().execute("select sum(memory_usage_bytes) from duckdb_memory()").fetchall()
    )
    return int(found[0])


def test_pages_of_the_file_are_kept_within_a_bound(tmp_path, monkeypatch, make_record) -> None:
    monkeypatch.setattr(database, "PAGE_CACHE", "24MB")
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, BYTES, dtype=np.uint8) for _ in range(RUNS)]
    records = [make_record() for _ in range(RUNS)]
    with RunStore(f"duckdb:///{tmp_path / 'runs.duckdb'}") as store:
        for record, array in zip(records, arrays, strict=True):
            store.save(record, {}, {"a": array})
            assert held(store) <= MOST
        for record, array in zip(records, arrays, strict=True):
            assert np.array_equal(store.arrays(record.id)["a"], array)
            assert held(store) <= MOST
        assert (store._open.file_bytes or 0) > MOST


def test_the_bound_may_be_set_in_the_address(tmp_path) -> None:
    for more, expected in (("", "244.1 MiB"), ("?memory_limit=1GiB", "1.0 GiB")):
        with RunStore(f"duckdb:///{tmp_path / 'runs.duckdb'}{more}") as store:
            opened = store._open._database().duck.cursor()
            found = opened.execute("select current_setting('memory_limit')").fetchone()
            assert found == (expected,)
