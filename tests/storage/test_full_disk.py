"""A full disk, or a database that has failed, is said in words and ends nothing."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from tokenarium.storage import RunNotFound, RunStore, StoreError, open_database
from tokenarium.storage.errors import DatabaseFailed

NOISE = np.random.default_rng(0).integers(0, 2**63, 200_000)
"""1.6 MB that do not compress."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 56 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=56m", "tmpfs", folder], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_ends_nothing_and_freed_space_helps(small_disk, make_record):
    with RunStore(f"duckdb:///{small_disk}/runs.duckdb") as store:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 36_000_000)
        stored, failed = [], []
        for number in range(24):
            record = make_record(id=f"run-{number}", key=f"{number}")
            try:
                store.save(record, {}, {"noise": NOISE})
                stored.append(record.id)
            except StoreError as error:
                failed.append(str(error))
            for run_id in stored[-2:]:
                assert np.array_equal(store.arrays(run_id)["noise"], NOISE)
        assert len(stored) >= 4
        assert len(failed) >= 3
        assert all("was not stored" in words for words in failed)
        assert any("disk is full" in words for words in failed)
        assert {record.id for record in store.search(limit=99)} == set(stored)
        ballast.unlink()
        store.save(make_record(id="later"), {}, {"noise": NOISE[:1_000]})
        assert store.record("later").id == "later"
    with RunStore(f"duckdb:///{small_disk}/runs.duckdb") as again:
        assert {record.id for record in again.search(limit=99)} == {*stored, "later"}
        for run_id in stored:
            assert np.array_equal(again.arrays(run_id)["noise"], NOISE)


@pytest.fixture
def failing(duck, monkeypatch):
    """A store whose database has been invalidated, as after a failed checkpoint."""

    def fail(once=True):
        real = open_database.Database
        broken = duck._open._database()

        def refuse(*_args, **_options):
            raise DBAPIError(
                "SELECT",
                None,
                duckdb.FatalException("database has been invalidated: No space left on device"),
            )

        monkeypatch.setattr(broken.engine, "connect", refuse)
        monkeypatch.setattr(broken.engine, "begin", refuse)
        assert isinstance(broken, real)
        return broken

    return fail


def test_an_invalidated_database_is_opened_again_for_reads(duck, failing, make_record):
    duck.save(make_record(id="a", key="k"), {}, {"x": NOISE[:10]})
    for read in (
        lambda: duck.record("a").id,
        lambda: duck.find("k").id,
        lambda: duck.arrays("a").popitem()[0] and "a",
        lambda: duck.search()[0].id,
    ):
        broken = failing()
        assert read() == "a"
        assert duck._open._database() is not broken
    failing()
    assert duck.digest("/x", 1, 1) is None
    with pytest.raises(RunNotFound):
        duck.record("b")


def test_a_write_that_fails_so_is_said_and_the_next_one_works(duck, failing, make_record):
    failing()
    with pytest.raises(StoreError, match=r"'a' was not stored: the disk is full.* opened again"):
        duck.save(make_record(id="a"), {}, {})
    duck.save(make_record(id="a"), {}, {})
    failing()
    with pytest.raises(DatabaseFailed, match="disk is full"):
        duck.pin("a", True)
    duck.pin("a", True)
    assert duck.record("a").pinned
    assert duck.query("SELECT id FROM runs").to_pylist() == [{"id": "a"}]


def test_a_run_whose_checkpoint_failed_after_it_was_kept_is_stored(duck, make_record, monkeypatch):
    real = open_database.OpenDatabase.writing

    @contextmanager
    def writing(self):
        database = self._database()
        with real(self) as connection:
            yield connection
        with self._failing(database):
            raise DBAPIError("COMMIT", None, duckdb.FatalException("No space left on device"))

    monkeypatch.setattr(open_database.OpenDatabase, "writing", writing)
    notes = duck.save(make_record(id="a"), {}, {"x": NOISE[:10]})
    assert "disk is full" in notes[0]
    assert duck.arrays("a")["x"].tolist() == NOISE[:10].tolist()


def test_a_database_that_cannot_be_opened_again_is_tried_again(
    duck, failing, make_record, monkeypatch
):
    duck.save(make_record(id="a"), {}, {})
    failing()

    def refuse(url):
        raise open_database.StoreUnavailable("it cannot be opened: No space left on device")

    with monkeypatch.context() as during:
        during.setattr(open_database, "open_database", refuse)
        for ask in (lambda: duck.record("a"), duck.search, lambda: duck.query("SELECT 1")):
            with pytest.raises(StoreError, match=r"cannot be opened|opened again"):
                ask()
    assert duck.record("a").id == "a"


@pytest.mark.parametrize("value", ["\ud800", 5, None, [], {}, b"x"])
def test_odd_values_raise_the_errors_of_the_store(duck, value):
    for ask in (
        lambda: duck.record(value),
        lambda: duck.arrays(value),
        lambda: duck.pin(value, True),
        lambda: duck.delete(value),
    ):
        with pytest.raises(StoreError):
            ask()
