"""Memory of a long trace, measured from outside: no T x T matrix, and no more than estimated."""

import json
import os
import subprocess
import sys

import pytest

from tests.trace.peak import RESET
from tokenarium.backend.settings import PROJECT

MIB = 2**20


@pytest.mark.skipif(not os.access(RESET, os.W_OK), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize(
    ("length", "most"),
    [
        (8_192, 240 * MIB),
        pytest.param(32_768, 512 * MIB, marks=pytest.mark.slow),
    ],
)
@pytest.mark.process
def test_trace_peak_memory_is_far_below_the_attention_matrix(length, most):
    done = subprocess.run(
        [sys.executable, "-m", "tests.trace.peak", str(length)],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert most < 4 * length**2, "one matrix of one head in float32"
    assert MIB < measured["peak"] < most
    assert measured["peak"] < measured["estimate"]
