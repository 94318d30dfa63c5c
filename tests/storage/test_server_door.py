"""The query door on PostgreSQL: DuckDB's refusals, a role that reads only, other replicas."""

import duckdb
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from tests.storage.test_door import BYPASSES, REFUSED, SECRET
from tokenarium.storage import QueryRefused, RunStore, door, visitor
from tokenarium.storage.copied_server import ServerSource
from tokenarium.storage.door import run_select


@pytest.fixture(scope="module")
def address(postgresql):
    made = postgresql.new()
    yield made
    postgresql.drop(made)


@pytest.fixture(scope="module")
def filled(address, make_record, make_tables):
    """A store with one shared and one private run; tests leave these as they are."""
    with RunStore(address, query_rows=100, query_seconds=2) as store:
        store.save(make_record(id="open", text="shown", tags=("a",)), make_tables(5), {})
        private = make_tables(9)
        private["tokens"] = private["tokens"].set_column(2, "token", [[SECRET] * 9])
        store.save(make_record(id="closed", text=SECRET, owner="visitor"), private, {})
        yield store


@pytest.fixture(scope="module")
def engine(address, filled):
    made = create_engine(address)
    yield made
    made.dispose()


def test_query_returns_what_duckdb_returns(filled, duck, make_record, make_tables):
    duck.save(make_record(id="open", text="shown", tags=("a",)), make_tables(5), {})
    duck.save(make_record(id="closed", text=SECRET, owner="visitor"), make_tables(9), {})
    sql = """SELECT id, created::DATE AS day, duration_ms, facts->>'$.sink_rate' AS sink, pinned,
        array_bytes, n, surprisal, typeof(array_bytes) AS of FROM runs JOIN (SELECT run_id,
        count(*) AS n, sum(surprisal_nats) AS surprisal FROM tokens GROUP BY 1) ON run_id = id
        ORDER BY n"""
    found, expected = filled.query(sql), duck.query(sql)
    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()
    assert found.num_rows == 2
    types = "SELECT table_name, column_name, data_type FROM duckdb_columns ORDER BY ALL"
    ours = "WHERE table_name <> 'alembic_version' ORDER"
    types = types.replace("ORDER", ours)
    assert filled.query(types).to_pylist() == duck.query(types).to_pylist()


def test_query_refuses_what_duckdb_refuses_and_changes_nothing(filled, engine):
    for sql in REFUSED:
        with pytest.raises(QueryRefused) as refusal:
            filled.query(sql)
        assert str(refusal.value)
    with engine.connect() as connection:
        found = connection.scalars(text("SELECT id FROM runs ORDER BY id")).all()
    assert found == ["closed", "open"]


def test_visitor_never_reads_private_runs(filled):
    path = filled._open.door._copied("")
    assert b"shown" in path.read_bytes()
    assert SECRET.encode() not in path.read_bytes()
    with duckdb.connect(str(path), read_only=True, config=visitor.config(door.VISITOR)) as copy:
        for sql in BYPASSES:
            try:
                shown = str(run_select(copy, sql, 100, 2).to_pylist())
            except QueryRefused as refusal:
                shown = str(refusal)
            assert SECRET not in shown, sql
            assert "closed" not in shown, sql
    own = filled.query("SELECT id, owner FROM runs ORDER BY id", shared_only=True, owner="visitor")
    assert own.to_pylist() == [{"id": "closed", "owner": "you"}, {"id": "open", "owner": ""}]


def test_the_role_that_reads_can_do_nothing_else(filled, engine):
    filled.query("SELECT 1")
    role = ServerSource(engine).role
    for sql, may in [
        ("SELECT id FROM runs", True),
        ("SELECT run_id FROM parts", True),
        ("SELECT data FROM parts", False),
        ("DELETE FROM runs", False),
        ("INSERT INTO tags VALUES ('open', 'b')", False),
        ("CREATE TABLE x (a int)", False),
        ("SELECT pg_read_file('/etc/hostname')", False),
    ]:
        with engine.connect() as connection:
            connection.execute(text(f'SET LOCAL ROLE "{role}"'))
            if may:
                connection.execute(text(sql))
                continue
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(sql))


def test_copies_follow_what_another_replica_changes(filled, address, make_record):
    ids = "SELECT id FROM runs WHERE kind = 'later'"
    assert filled.query(ids, shared_only=True).num_rows == 0
    before = filled._open.door._copied("")
    assert filled._open.door._copied("") == before, "nothing has changed"
    with RunStore(address) as replica:
        replica.save(make_record(id="later", kind="later"), {}, {})
        assert filled.query(ids, shared_only=True).num_rows == 1
        replica.delete("later")
        assert filled.query(ids).num_rows == 0


def test_a_user_who_may_make_no_role_is_told_what_an_administrator_runs(filled, engine, address):
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE modest LOGIN"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest"))
        connection.execute(text(f'DROP OWNED BY "{ServerSource(engine).role}"'))
        connection.execute(text(f'DROP ROLE "{ServerSource(engine).role}"'))
    with (
        RunStore(address.replace("tokenarium@", "modest@")) as store,
        pytest.raises(QueryRefused, match="let an administrator run CREATE ROLE"),
    ):
        store.query("SELECT 1")
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY modest"))
        connection.execute(text("DROP ROLE modest"))
