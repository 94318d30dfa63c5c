"""The query door reads, within its bounds, and does nothing else."""

import resource
import time

import duckdb
import pyarrow as pa
import pytest

from tokenarium.storage import QueryRefused, RunStore, door, visitor
from tokenarium.storage.door import run_select
from tokenarium.storage.lockdown import LOCKED_DOWN

SECRET = "a visitor's secret"

REFUSED = [
    "DELETE FROM runs",
    "INSERT INTO runs SELECT * FROM runs",
    "UPDATE runs SET owner = ''",
    "DROP TABLE runs",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP VIEW x AS SELECT 1",
    "ATTACH ':memory:' AS x",
    "PRAGMA version",
    "SET threads = 1",
    "RESET threads",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD json",
    "COPY runs TO 'out.csv'",
    "EXPORT DATABASE 'out'",
    "EXPLAIN ANALYZE SELECT 1",
    "BEGIN",
    "CHECKPOINT",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE runs",
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT nonsense FROM runs",
    "WITH gone AS (DELETE FROM runs RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO files VALUES ('a', 1, 1, 'b') RETURNING *) SELECT * FROM new",
    "SELECT * FROM 'file.csv'",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_csv('/etc/hostname')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('runs')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT (SELECT count(*) FROM ARROW_SCAN(1, 2, 3))",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM enable_logging()",
    "SELECT * FROM enable_profiling('out.json')",
    "SELECT * FROM json_execute_serialized_sql('x')",
    "SELECT $1",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT '" + "x" * 30_000 + "'",
]

BYPASSES = [
    "SELECT text FROM runs",
    "SELECT text FROM main.runs",
    "SELECT * FROM runs.main.runs",
    "SELECT * FROM runs.runs",
    "SELECT token FROM tokens",
    "SELECT sql FROM duckdb_tables",
    "SELECT * FROM parts",
    "SELECT * FROM files",
    "SELECT CAST(text AS INTEGER) FROM runs",
    "SELECT error(token) FROM tokens",
    "SELECT * FROM (SELECT text AS t FROM runs UNION ALL SELECT token FROM tokens)",
    "WITH runs AS (SELECT * FROM main.runs) SELECT * FROM runs",
    "SELECT r FROM runs r",
    "SUMMARIZE runs",
    "SUMMARIZE tokens",
    "SHOW ALL TABLES",
    "SELECT stats(text) FROM runs",
    "SELECT current_query(), current_setting('temp_directory')",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("door")


@pytest.fixture(scope="module")
def filled(folder, make_record, make_tables):
    """A store with one shared and one private run; tests leave it as it is."""
    url = f"duckdb:///{folder}/runs.duckdb"
    with RunStore(url, query_rows=100, query_seconds=2) as store:
        store.save(make_record(id="open", text="shown"), make_tables(5), {})
        private = make_tables(9)
        private["tokens"] = private["tokens"].set_column(2, "token", [[SECRET] * 9])
        store.save(make_record(id="closed", text=SECRET, owner="visitor"), private, {})
        yield store


def test_query_returns_rows_of_all_runs(filled):
    table = filled.query(
        "SELECT id, count(*) AS n FROM tokens JOIN runs ON run_id = id GROUP BY id ORDER BY n"
    )
    assert table.to_pylist() == [{"id": "open", "n": 5}, {"id": "closed", "n": 9}]
    assert table.schema.metadata == {b"truncated": b"false", b"row_limit": b"100"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT facts->>'$.sink_rate' AS x FROM runs LIMIT 1 -- a comment",
        "WITH a AS (SELECT 1 AS n) SELECT n FROM a UNION ALL SELECT 2 ORDER BY n DESC;",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) FROM t",
        "SELECT position, lag(token) OVER (ORDER BY position) FROM tokens QUALIFY position > 1",
        "FROM range(3)",
        "SELECT unnest([1, 2])",
        "VALUES (1)",
        "DESCRIBE tokens",
        "SHOW TABLES",
        "SELECT DISTINCT layer FROM head_metrics WHERE EXISTS (SELECT 1) LIMIT 50 PERCENT",
    ],
)
def test_query_allows_what_only_reads(filled, sql):
    assert filled.query(sql).num_rows > 0


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:40])
def test_query_refuses_everything_else_and_changes_nothing(filled, folder, sql):
    before = sorted(folder.iterdir())
    with pytest.raises(QueryRefused) as refusal:
        filled.query(sql)
    assert str(refusal.value)
    inside = filled._open._database().duck.cursor()
    assert inside.execute("SELECT list(id ORDER BY id) FROM runs").fetchall() == [
        (["closed", "open"],)
    ]
    assert sorted(folder.iterdir()) == before


def test_statement_check_alone_stops_what_could_crash_the_process(filled):
    with pytest.raises(QueryRefused, match="'arrow_scan' is not allowed"):
        filled.query("SELECT * FROM arrow_scan(1, 2, 3)")
    with pytest.raises(QueryRefused, match="is a DELETE statement"):
        filled.query("DELETE FROM runs")
    with pytest.raises(QueryRefused, match="DELETE_QUERY_NODE"):
        filled.query("WITH gone AS (DELETE FROM runs RETURNING *) SELECT * FROM gone")


def test_query_cuts_at_the_row_limit_and_says_so(filled):
    table = filled.query("SELECT * FROM range(10_000_000_000)")
    assert table.num_rows == 100
    assert table["range"].to_pylist() == list(range(100))
    assert table.schema.metadata[b"truncated"] == b"true"
    assert filled.query("FROM range(100)").schema.metadata[b"truncated"] == b"false"


def test_query_stops_at_the_time_limit_and_the_store_goes_on(filled):
    start = time.monotonic()
    with pytest.raises(QueryRefused, match="ran longer than 2 s"):
        filled.query("SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b")
    assert time.monotonic() - start < 60, "the whole query would take hours"
    assert filled.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    assert filled.find("absent") is None


def test_query_refuses_a_result_too_large_to_show(filled):
    with pytest.raises(QueryRefused, match="select fewer columns"):
        filled.query("SELECT repeat('x', 1_000_000) FROM range(90)")


def test_a_locked_down_connection_sees_no_python_variable_and_stays_locked():
    private = pa.table({"secret": [1]})
    with duckdb.connect(":memory:", config=LOCKED_DOWN) as connection:
        for sql in ("FROM private", "SET threads = 1", "FROM 'README.md'"):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)
    assert private.num_rows == 1


def test_visitor_sees_shared_runs_and_changes_to_them(duck, make_record, make_tables):
    ids = "SELECT id, (SELECT count(*) FROM tokens) AS tokens FROM runs ORDER BY id"
    duck.save(make_record(id="open"), make_tables(5), {})
    duck.save(make_record(id="private", owner="x"), make_tables(7), {})
    assert duck.query(ids, shared_only=True).to_pylist() == [{"id": "open", "tokens": 5}]
    duck.save(make_record(id="later"), {}, {})
    seen = duck.query(ids, shared_only=True)
    assert seen["id"].to_pylist() == ["later", "open"]
    assert seen.schema.metadata[b"truncated"] == b"false"
    duck.delete("open")
    assert duck.query(ids, shared_only=True)["id"].to_pylist() == ["later"]


def test_visitor_never_reads_private_runs(filled):
    # Each runs on the file that a visitor's process is given; a process each would take 10 s.
    path = str(filled._open.door._copied(""))
    with duckdb.connect(path, read_only=True, config=visitor.config(door.VISITOR)) as copy:
        for sql in BYPASSES:
            try:
                shown = str(run_select(copy, sql, 100, 2).to_pylist())
            except QueryRefused as refusal:
                shown = str(refusal)
            assert SECRET not in shown, sql
            assert "closed" not in shown, sql
        assert run_select(copy, "SELECT text FROM runs", 100, 2)["text"].to_pylist() == ["shown"]


def test_visitor_file_holds_no_byte_of_a_private_run(filled):
    path = filled._open.door._copied("")
    assert b"shown" in path.read_bytes()
    assert SECRET.encode() not in path.read_bytes()


def test_visitor_is_refused_what_the_host_is_refused(filled):
    with pytest.raises(QueryRefused, match="the table function 'read_text' is not allowed"):
        filled.query("SELECT * FROM read_text('/etc/hostname')", shared_only=True)


def test_visitor_cannot_exhaust_memory_or_time(filled):
    # DuckDB's own limits miss this one: 10 GB in one vector, uninterrupted for a minute.
    with pytest.raises(QueryRefused, match=r"(?i)memory"):
        filled.query("SELECT repeat('x', 10_000_000) FROM range(1000)", shared_only=True)
    with pytest.raises(QueryRefused, match="ran longer than 2 s"):
        filled.query(
            "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b",
            shared_only=True,
        )


@pytest.mark.parametrize(
    "sql", ["SELECT range(1_000_000_000)", "SELECT repeat('a', 2_000_000_000)"]
)
def test_host_cannot_exhaust_memory_or_time(filled, sql):
    before = _peak()
    start = time.monotonic()
    with pytest.raises(QueryRefused, match=r"(?i)memory|longer|stopped|ended|holds"):
        filled.query(sql)
    assert time.monotonic() - start < 30
    assert _peak() - before < 500e6, "it was computed in this process"
    assert filled.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_host_sees_every_table_but_the_packed_numbers(filled):
    assert filled.query("SELECT DISTINCT run_id FROM parts").num_rows == 2
    with pytest.raises(QueryRefused, match='"data" not found'):
        filled.query("SELECT data FROM parts")
    assert filled.query("SELECT count(*) AS n FROM files").to_pylist() == [{"n": 0}]


def test_visitor_query_process_has_no_secrets(filled, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    seen = {}

    def remember(*args, env, **kwargs):
        seen.update(env)
        return run(*args, env=env, **kwargs)

    run = door.subprocess.run
    monkeypatch.setattr(door.subprocess, "run", remember)
    filled.query("SELECT 1", shared_only=True)
    assert "PATH" in seen
    assert SECRET not in seen.values()


def test_query_on_another_database_is_refused_with_the_reason(tmp_path):
    with (
        RunStore(f"sqlite:///{tmp_path}/runs.sqlite") as store,
        pytest.raises(QueryRefused, match="this database is sqlite"),
    ):
        store.query("SELECT 1")


def test_visitor_sees_own_runs_beside_the_shared_ones_and_no_other(filled):
    ids = "SELECT id, owner FROM runs ORDER BY id"
    for name, seen in {"": ["open"], "visitor": ["closed", "open"], "other": ["open"]}.items():
        rows = filled.query(ids, shared_only=True, owner=name).to_pylist()
        assert [row["id"] for row in rows] == seen
        assert "visitor" not in str([row["owner"] for row in rows]), "a private name"
        with filled._open.door._lent(name) as path:
            assert (SECRET.encode() in path.read_bytes()) == (name == "visitor")


def test_copies_follow_the_runs_of_their_visitor(duck, make_record):
    def ids(owner):
        found = duck.query("SELECT id FROM runs ORDER BY id", shared_only=True, owner=owner)
        return found["id"].to_pylist()

    duck.save(make_record(id="a", owner="me", tags=("x",)), {}, {})
    assert (ids("me"), ids("you")) == (["a"], [])
    copies = dict(duck._open.door._copy)
    duck.save(make_record(id="b", owner="me"), {}, {})
    assert ids("me") == ["a", "b"]
    assert duck._open.door._copy["you"] == copies["you"], "nothing of theirs has changed"
    assert not copies["me"].exists()
    tags = "SELECT tag FROM tags JOIN runs ON run_id = id"
    assert duck.query(tags, shared_only=True, owner="me").to_pylist() == [{"tag": "x"}]
    assert duck.query(tags, shared_only=True, owner="you").num_rows == 0
    duck.delete("a")
    assert ids("me") == ["b"]


def test_rows_of_a_query_can_be_more_than_usual(filled):
    assert filled.query("FROM range(500)", rows=300).num_rows == 300
    assert filled.query("FROM range(500)", shared_only=True, rows=300).num_rows == 300


def test_copies_of_many_visitors_make_way(duck, make_record, monkeypatch):
    monkeypatch.setattr(door, "MOST_COPIES", 2)
    for name in ("a", "b", "c"):
        with duck._open.door._lent(name) as path:
            assert path.exists()
    assert list(duck._open.door._copy) == ["b", "c"]
    assert len(list(path.parent.iterdir())) == 2
