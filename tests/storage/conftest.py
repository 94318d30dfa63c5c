"""Runs to store, and databases to store them in."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from tests.storage import server
from tokenarium.storage import RunRecord, RunStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def make_record():
    """Build records with distinct ids and rising times; any field may be given."""

    def make(**values):
        number = next(_numbers)
        defaults = {
            "id": f"run-{number}",
            "kind": "trace",
            "key": f"key-{number}",
            "model": "bundled/target",
            "text": "Once upon a time",
            "created": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
            "duration_ms": 12.5,
            "request": {"text": "Once upon a time", "top_k": 10},
            "facts": {"sink_rate": 0.5, "token_text": ["Once", " upon"], "notes": []},
            "environment": {"device": "cpu"},
        }
        return RunRecord(**{**defaults, **values})

    return make


@pytest.fixture(scope="session")
def make_tables():
    """Build the row tables of a run of ``length`` tokens and 2 x 3 heads."""

    def make(length=5):
        rng = np.random.default_rng(length)
        floats = rng.random(length, dtype=np.float32)
        tokens = {
            "position": np.arange(length),
            "token_id": rng.integers(0, 100, length),
            "token": [f"t{i}" for i in range(length)],
            "surprisal_nats": np.where(np.arange(length) == 0, np.float32("nan"), floats),
            "entropy_nats": floats,
        }
        heads = {
            "layer": np.repeat(np.arange(2, dtype=np.int32), 3),
            "head": np.tile(np.arange(3, dtype=np.int32), 2),
            "sink_score": rng.random(6, dtype=np.float32),
        }
        return {"tokens": pa.table(tokens), "head_metrics": pa.table(heads)}

    return make


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server, started when the first test asks for it."""
    with server.running() as started:
        yield started


@pytest.fixture(params=["duckdb", "sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database: the default one, one that shows the SQL is neutral, and a server."""
    if request.param != "postgresql":
        yield f"{request.param}:///{tmp_path}/runs.{request.param}"
        return
    started = request.getfixturevalue("postgresql")
    address = started.new()
    yield address
    started.drop(address)


@pytest.fixture
def another_url(request, url, tmp_path):
    """Another empty database of the same kind as ``url``."""
    if not url.startswith("postgresql"):
        yield url.replace("runs.", "another.")
        return
    started = request.getfixturevalue("postgresql")
    address = started.new()
    yield address
    started.drop(address)


@pytest.fixture
def store(url):
    with RunStore(url) as opened:
        yield opened


@pytest.fixture
def duck(tmp_path):
    """A store on a DuckDB file."""
    with RunStore(f"duckdb:///{tmp_path}/runs.duckdb", query_rows=100, query_seconds=2) as opened:
        yield opened
