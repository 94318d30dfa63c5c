"""The migrations build what the models declare."""

from pathlib import Path

import duckdb
import numpy as np
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from tokenarium import storage
from tokenarium.storage import RunStore
from tokenarium.storage.schema import SCHEMA_VERSION, Base


def _columns(engine):
    with engine.connect() as connection:
        if engine.dialect.name == "duckdb":
            query = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns()"
            rows = {tuple(row) for row in connection.execute(text(query))}
        else:
            seen = inspect(connection)
            rows = {
                (table, column["name"], str(column["type"]), column["nullable"])
                for table in seen.get_table_names()
                for column in seen.get_columns(table)
            }
    return {row for row in rows if row[0] != "alembic_version"}


def _indexes(engine):
    if engine.dialect.name == "duckdb":
        query = text("SELECT table_name, index_name, is_unique FROM duckdb_indexes()")
        with engine.connect() as connection:
            return {tuple(row) for row in connection.execute(query)}
    seen = inspect(engine)
    tables = [table for table in seen.get_table_names() if table != "alembic_version"]
    return {
        (table, index["name"], bool(index["unique"]))
        for table in tables
        for index in seen.get_indexes(table)
    }


def test_migrations_build_the_declared_schema(url, another_url):
    declared = create_engine(another_url)
    Base.metadata.create_all(declared)
    with RunStore(url) as store:
        assert _columns(store._open._database().engine) == _columns(declared)
        assert _indexes(store._open._database().engine) == _indexes(declared)
    declared.dispose()


def test_compressed_bytes_lie_in_rows_and_are_not_compressed_again(duck, make_record):
    # Else a checkpoint of 1.2 GB took up to 23 s, and reading 4 MB took 340 ms.
    noise = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)
    duck.save(make_record(), {}, {"noise": noise, "zeros": np.zeros(10**7, np.uint8)})
    cursor = duck._open._database().duck.cursor()
    cursor.execute("CHECKPOINT")
    cursor.execute(
        "SELECT compression, additional_block_ids FROM pragma_storage_info('parts') "
        "WHERE segment_type = 'BLOB'"
    )
    segments = cursor.fetchall()
    assert {compression for compression, _ in segments} == {"Uncompressed"}
    assert all(elsewhere == [] for _, elsewhere in segments)


def test_schema_version_is_the_newest_migration():
    config = Config()
    folder = Path(storage.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_methods_of_runs_from_before_are_read_from_what_was_asked(tmp_path):
    path = tmp_path / "runs.duckdb"
    RunStore(f"duckdb:///{path}").close()
    asked = {
        "cache": '{"policies": [{"slug": "h2o"}, {"slug": "full"}, {"slug": "h2o"}]}',
        "speculate": '{"drafter": {"slug": "draft_chain"}, "rule": {"slug": "greedy"}}',
        "sweep": '{"policies": [{"slug": "full"}], "task": "passkey"}',
        "trace": '{"text": "x", "rule": null}',
    }
    with duckdb.connect(str(path)) as before:
        for table in ("tags", "methods", "classes", "class_members", "class_passes"):
            before.execute(f"DROP TABLE {table}")
        before.execute("DROP INDEX ix_runs_key")
        before.execute("ALTER TABLE runs DROP COLUMN note")
        before.execute("CREATE INDEX ix_runs_key ON runs (key)")
        before.execute("UPDATE alembic_version SET version_num = '0002'")
        for kind, request in asked.items():
            before.execute(
                "INSERT INTO runs VALUES (?, ?, 'k', 'm', 't', now(), 1, ?, '{}', '{}', '', false, "
                "0, false)",
                [kind, kind, request],
            )
    with RunStore(f"duckdb:///{path}") as store:
        assert f"from schema version 0002 to {SCHEMA_VERSION}" in store.upgraded
        found = {run.id: run.methods for run in store.search()}
        assert found == {
            "cache": {"policy": ("h2o", "full")},
            "speculate": {"drafter": ("draft_chain",), "rule": ("greedy",)},
            "sweep": {"policy": ("full",), "task": ("passkey",)},
            "trace": {},
        }
        store.set_note("cache", "kept")
        assert store.record("cache").note == "kept"
        assert store.record("trace").note == ""
