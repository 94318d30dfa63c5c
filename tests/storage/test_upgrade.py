"""A database of an older release is brought up to date after a copy, or refused in words."""

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sqlalchemy import create_engine, text

from tokenarium.storage import RunStore, StoreUnavailable, database, upgrade
from tokenarium.storage.schema import SCHEMA_VERSION
from tokenarium.storage.upgrade import MIGRATIONS, older_than

REVISIONS = Path(__file__).parent / "revisions"
NEXT = f"{int(SCHEMA_VERSION) + 1:04}"


@pytest.fixture
def revisions(tmp_path_factory):
    """Return a folder with the revision of a next release, whichever today's is."""
    folder = tmp_path_factory.mktemp("revisions")
    (found,) = REVISIONS.glob("*.py")
    text = found.read_text().replace('"0001"', f'"{NEXT}"').replace('"0000"', f'"{SCHEMA_VERSION}"')
    (folder / f"{NEXT}_colours.py").write_text(text)
    return folder


@pytest.fixture
def next_release(monkeypatch, revisions):
    """Open stores as a release does that has one more revision."""

    def begin():
        monkeypatch.setattr(upgrade, "VERSIONS", (MIGRATIONS / "versions", revisions))
        monkeypatch.setattr(database, "SCHEMA_VERSION", NEXT)

    return begin


def _older(path, make_record, **values):
    """Make a database of today's release that holds one run with an array."""
    with RunStore(f"duckdb:///{path}") as store:
        store.save(make_record(id="a", key="k", **values), {}, {"x": np.arange(5)})


def _version(path):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchall()


@pytest.mark.process
def test_revisions_are_known_without_alembic(next_release):
    known = [f"{number:04}" for number in range(1, int(NEXT))]
    assert older_than(SCHEMA_VERSION) == known[:-1]
    next_release()
    assert older_than(NEXT) == known
    code = "import sys; from tokenarium.storage import RunStore; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_older_file_is_brought_up_to_date_after_a_copy(tmp_path, make_record, next_release, caplog):
    path, copy = tmp_path / "runs.duckdb", tmp_path / f"runs.schema-{SCHEMA_VERSION}.duckdb"
    _older(path, make_record)
    before = path.read_bytes()
    next_release()
    with RunStore(f"duckdb:///{path}") as store:
        told = (
            f"{path} was brought from schema version {SCHEMA_VERSION} to {NEXT}; as it was before "
            "it is kept"
        )
        assert store.upgraded == f"{told} in {copy}"
        assert told in caplog.text
        assert store.find("k").id == "a"
        assert store.arrays("a")["x"].tolist() == [0, 1, 2, 3, 4]
        assert store.query("SELECT run_id FROM colours").to_pylist() == [{"run_id": "a"}]
        store.save(make_record(id="b"), {}, {})
    assert copy.read_bytes() == before
    assert _version(path) == [(NEXT,)]
    with RunStore(f"duckdb:///{path}") as store:
        assert store.upgraded == ""
        assert {record.id for record in store.search()} == {"a", "b"}
    assert len(list(tmp_path.iterdir())) == 2, "one copy"


def test_copy_opens_with_the_release_that_wrote_it(tmp_path, make_record, monkeypatch, revisions):
    path = tmp_path / "runs.duckdb"
    _older(path, make_record)
    with monkeypatch.context() as later:
        later.setattr(upgrade, "VERSIONS", (MIGRATIONS / "versions", revisions))
        later.setattr(database, "SCHEMA_VERSION", NEXT)
        RunStore(f"duckdb:///{path}").close()
    with pytest.raises(StoreUnavailable, match=f"has schema version {NEXT}, and this"):
        RunStore(f"duckdb:///{path}")
    with RunStore(f"duckdb:///{tmp_path / f'runs.schema-{SCHEMA_VERSION}.duckdb'}") as store:
        assert store.find("k").id == "a"


@pytest.mark.process
def test_log_of_a_killed_process_is_copied_too(tmp_path, make_record, next_release):
    path = tmp_path / "runs.duckdb"
    _older(path, make_record)
    code = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute(\"UPDATE runs SET text = 'killed'\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.with_name("runs.duckdb.wal").exists()
    next_release()
    with RunStore(f"duckdb:///{path}") as store:
        assert store.record("a").text == "killed"
    copy = tmp_path / f"runs.schema-{SCHEMA_VERSION}.duckdb"
    with duckdb.connect(str(copy)) as connection:
        assert connection.execute("SELECT text FROM runs").fetchall() == [("killed",)]


def test_revision_that_fails_leaves_the_file_as_it_was(tmp_path, make_record, next_release):
    path, copy = tmp_path / "runs.duckdb", tmp_path / f"runs.schema-{SCHEMA_VERSION}.duckdb"
    _older(path, make_record, text="fail")
    next_release()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="was left as it was") as refusal:
            RunStore(f"duckdb:///{path}")
        assert "this revision breaks off here" in str(refusal.value)
        assert str(copy) in str(refusal.value)
        assert _version(path) == [(SCHEMA_VERSION,)]
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
            assert "colours" not in tables
            columns = {each[0] for each in connection.execute("SELECT * FROM runs").description}
            assert "colour" not in columns
    assert len(list(tmp_path.iterdir())) == 2, "the copy of the first attempt is used again"


def test_without_room_for_a_copy_nothing_is_changed(
    tmp_path, make_record, next_release, monkeypatch
):
    path = tmp_path / "runs.duckdb"
    _older(path, make_record)
    before = path.read_bytes()

    def full(_, target):
        Path(target).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    next_release()
    monkeypatch.setattr(upgrade.shutil, "copy2", full)
    with pytest.raises(StoreUnavailable, match=r"No space left on device.*free \d+ bytes"):
        RunStore(f"duckdb:///{path}")
    assert [file.name for file in tmp_path.iterdir()] == ["runs.duckdb"]
    assert path.read_bytes() == before


def test_another_file_of_the_copys_name_is_left_alone(tmp_path, make_record, next_release):
    path, copy = tmp_path / "runs.duckdb", tmp_path / f"runs.schema-{SCHEMA_VERSION}.duckdb"
    _older(path, make_record)
    copy.write_bytes(b"mine")
    next_release()
    with RunStore(f"duckdb:///{path}") as store:
        assert f"runs.schema-{SCHEMA_VERSION}-2.duckdb" in store.upgraded
    assert copy.read_bytes() == b"mine"


def test_database_without_transactions_for_tables_is_refused(tmp_path, next_release):
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    RunStore(url).close()
    next_release()
    with pytest.raises(StoreUnavailable, match="only DuckDB and PostgreSQL change tables"):
        RunStore(url)
    with create_engine(url).connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA_VERSION


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_older_server_is_brought_up_to_date_in_one_transaction(url, make_record, next_release):
    with RunStore(url) as store:
        store.save(make_record(id="a", key="k", text="fail"), {}, {})
    next_release()
    with pytest.raises(StoreUnavailable, match="was left as it was"):
        RunStore(url)
    with create_engine(url).begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA_VERSION
        connection.execute(text("UPDATE runs SET text = 'fine'"))
    with RunStore(url) as store:
        assert store.upgraded.endswith(
            f"was brought from schema version {SCHEMA_VERSION} to {NEXT}"
        )
        assert store.find("k").id == "a"
