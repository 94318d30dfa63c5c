"""Killed in the middle of saving, a database opens again with every run whole or absent."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tokenarium.storage import RunStore

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
TOKENS = 300
TRIALS = 3

SAVER = f"""
import itertools, sys
from datetime import UTC, datetime
import numpy as np, pyarrow as pa
from tokenarium.storage import RunRecord, RunStore

number = np.arange({TOKENS})
tokens = pa.table({{"position": number, "token_id": number, "token": ["x"] * {TOKENS}}})
store = RunStore(sys.argv[1])
for i in itertools.count():
    record = RunRecord(
        id=f"{{sys.argv[2]}}-{{i}}", kind="trace", key="k", model="m", text="t", duration_ms=1,
        created=datetime.now(UTC), request={{}}, facts={{"long": [*range(500)]}}, environment={{}},
    )
    noise = np.random.default_rng(i).integers(0, 256, 800_000, dtype=np.uint8)
    store.save(record, {{"tokens": tokens}}, {{"noise": noise, "seed": np.array(i)}})
    print(record.id, flush=True)
"""


def _save_until_killed(url, trial, delay):
    saver = subprocess.Popen(
        [sys.executable, "-c", SAVER, url, str(trial)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    told = [saver.stdout.readline().strip()]
    time.sleep(delay)
    saver.send_signal(signal.SIGKILL)
    told += saver.stdout.read().split()
    assert saver.wait() == -signal.SIGKILL
    return told


def _assert_whole(store, run_id):
    assert store.record(run_id).facts == {"long": list(range(500))}
    arrays = store.arrays(run_id)
    expected = np.random.default_rng(int(arrays["seed"])).integers(0, 256, 800_000, dtype=np.uint8)
    np.testing.assert_array_equal(arrays["noise"], expected)


def test_a_killed_save_leaves_every_run_whole_or_absent(tmp_path):
    url = f"duckdb:///{tmp_path}/runs.duckdb"
    told = []
    for trial in range(TRIALS):
        told += _save_until_killed(url, trial, delay=random.uniform(0.1, 1.2))
        with RunStore(url) as store:
            stored = {run.id for run in store.search(limit=10_000)}
            assert set(told) <= stored
            counts = store.query("SELECT run_id, count(*) AS n FROM tokens GROUP BY 1").to_pylist()
            assert {row["run_id"]: row["n"] for row in counts} == dict.fromkeys(stored, TOKENS)
            parts = store.query("SELECT DISTINCT run_id FROM parts")["run_id"].to_pylist()
            assert set(parts) == stored
            for run_id in [run_id for run_id in stored if run_id.startswith(f"{trial}-")][-5:]:
                _assert_whole(store, run_id)
    assert len(told) > TRIALS
