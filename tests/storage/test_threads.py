"""Many threads use one store at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tokenarium.storage import QueryRefused, RunStore


def test_eight_threads_save_find_search_and_query_at_once(url, make_record, make_tables):
    def work(thread):
        for i in range(5):
            key = f"{thread}-{i}"
            store.save(make_record(id=key, key=key), make_tables(20), {"a": np.full(999, thread)})
            assert store.find(key).id == key
            assert set(store.arrays(key)["a"]) == {thread}
            assert store.search(limit=1)
            store.pin(key, True)
            store.remember_digest("/one/file", i, i, key)
            if i or thread > 1:  # a query is a process of its own
                continue
            try:
                rows = store.query(f"SELECT count(*) AS n FROM tokens WHERE run_id = '{key}'")
                assert rows.to_pylist() == [{"n": 20}]
            except QueryRefused:
                assert url.startswith("sqlite")

    with RunStore(url) as store:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        runs = store.search(limit=1_000)
        assert len(runs) == 40
        assert all(run.pinned for run in runs)


def test_threads_that_drop_the_same_arrays_all_save(url, make_record):
    noise = np.random.default_rng(0).random(1_000)

    with RunStore(url, limit_bytes=30_000) as store:
        with ThreadPoolExecutor(8) as pool:
            saves = [
                pool.submit(store.save, make_record(id=f"run-{i}", key=f"{i}"), {}, {"a": noise})
                for i in range(24)
            ]
            notes = [note for save in saves for note in save.result()]
        assert len(notes) == 21
        assert sum(store.find(f"{i}") is not None for i in range(24)) == 3
        assert len(store.search()) == 24
