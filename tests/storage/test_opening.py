"""A file that is not ours is refused in clear words, and no byte of it changes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tokenarium.storage import RunStore, StoreUnavailable

ROOT = Path(__file__).parents[2]


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _png(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5_000))


def _empty(path):
    path.touch()


def _sqlite(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (id)")
    connection.commit()
    connection.close()


def _other_tables(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE sales AS SELECT range FROM range(9)")


def _other_runs(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE runs AS SELECT range FROM range(9)")


def _other_program_killed(path):
    code = (
        "import duckdb, os; c = duckdb.connect(os.sys.argv[1]); "
        "c.execute('CREATE TABLE sales AS SELECT 1'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.with_name(path.name + ".wal").exists()


def _changed(sql):
    def make(path):
        RunStore(f"duckdb:///{path}").close()
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql)

    return make


def _cut_short(path):
    RunStore(f"duckdb:///{path}").close()
    path.write_bytes(path.read_bytes()[:10_000])


def _overwritten(path):
    RunStore(f"duckdb:///{path}").close()
    data = bytearray(path.read_bytes())
    data[12_288:16_384] = bytes(4_096)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_png, "is not a DuckDB database"),
        (_empty, "is not a DuckDB database"),
        (_sqlite, "is not a DuckDB database"),
        (_other_tables, "belongs to another program: it has tables sales"),
        (_other_runs, "belongs to another program"),
        (_other_program_killed, "belongs to another program"),
        (_changed("UPDATE alembic_version SET version_num = '9999'"), "schema version 9999"),
        (_changed("DELETE FROM alembic_version"), "schema version none"),
        (_changed("DROP TABLE parts"), "lacks the tables parts"),
        (_cut_short, "cannot be opened; it was left as it is"),
        (_overwritten, "cannot be opened; it was left as it is"),
    ],
)
def test_opening_refuses_another_file_and_leaves_it_alone(tmp_path, make, said):
    path = tmp_path / "runs.duckdb"
    make(path)
    before = _files(tmp_path)
    with pytest.raises(StoreUnavailable, match=said) as refusal:
        RunStore(f"duckdb:///{path}")
    assert str(path) in str(refusal.value)
    assert _files(tmp_path) == before


def test_opening_and_reading_changes_no_byte_of_our_own_file(tmp_path, make_record):
    with RunStore(f"duckdb:///{tmp_path}/runs.duckdb") as store:
        store.save(make_record(key="k"), {}, {})
    before = _files(tmp_path)
    with RunStore(f"duckdb:///{tmp_path}/runs.duckdb") as store:
        assert store.find("k")
    assert _files(tmp_path) == before


@pytest.mark.process
def test_second_process_on_the_file_is_told_who_has_it(tmp_path):
    url = f"duckdb:///{tmp_path}/runs.duckdb"
    code = "import sys; from tokenarium.storage import RunStore; RunStore(sys.argv[1])"
    with RunStore(url):
        second = subprocess.run(
            [sys.executable, "-c", code, url], capture_output=True, text=True, cwd=ROOT, check=False
        )
    assert second.returncode == 1
    assert "StoreUnavailable" in second.stderr
    assert "is in use by another process: stop that one" in second.stderr


def test_second_store_on_the_file_in_one_process_is_refused_until_closed(tmp_path):
    url = f"duckdb:///{tmp_path}/runs.duckdb"
    with RunStore(url), pytest.raises(StoreUnavailable, match="open in this process already"):
        RunStore(url)
    RunStore(url).close()


def test_memory_stores_are_apart(make_record):
    with RunStore("duckdb:///:memory:") as one, RunStore("duckdb:///:memory:") as other:
        one.save(make_record(key="k"), {}, {})
        assert one.find("k")
        assert other.find("k") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("runs.duckdb", "not a SQLAlchemy URL"),
        ("duckdb:////nowhere/at/all/runs.duckdb", "folder /nowhere/at/all does not exist"),
        ("sqlite:////nowhere/at/all/runs.sqlite", "cannot be opened"),
        ("nosuchbase://user:secret@host/db", "cannot be opened"),
    ],
)
def test_opening_says_what_is_wrong_with_the_address(url, said):
    with pytest.raises(StoreUnavailable, match=said) as refusal:
        RunStore(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.process
def test_a_hit_loads_no_heavy_library(tmp_path, make_record, make_tables):
    url = f"duckdb:///{tmp_path}/runs.duckdb"
    with RunStore(url) as store:
        store.save(
            make_record(key="k"), make_tables(), {"a": make_tables()["tokens"][0].to_numpy()}
        )
    code = (
        "import sys; from tokenarium.storage import RunStore; store = RunStore(sys.argv[1]); "
        "run = store.find('k'); assert store.arrays(run.id)['a'].size == 5; "
        "print(*{'torch', 'transformers', 'pandas', 'alembic', 'gradio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == ""
