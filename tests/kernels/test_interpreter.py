"""Run the tests of the Triton kernels in Triton's interpreter, which needs no GPU.

Triton decides when it is imported whether it interprets or compiles: hence a process of its own.
"""

import os
import re
import subprocess
import sys

import pytest

from tokenarium.backend.settings import PROJECT

pytest.importorskip("triton", reason="Triton is not made for this platform")

FILES = (
    "tests/kernels/test_triton_attention_stats.py",
    "tests/kernels/test_triton_vocab_stats.py",
    "tests/kernels/test_triton_cache.py",
    "tests/kernels/test_triton_tree_attention.py",
)


def interpret(mark: str, seconds: int) -> int:
    """Run the tests with a mark; return how many passed."""
    options = ["-m", mark, f"--timeout={seconds}", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *FILES, *options],
        cwd=PROJECT,
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) passed", done.stdout)[1])


@pytest.mark.process
@pytest.mark.timeout(400)
def test_triton_kernels_in_the_interpreter():
    assert interpret("not slow", 390) > 60


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_triton_kernels_in_the_interpreter_everywhere():
    assert interpret("slow", 3590) > 200
