"""Every kernel compiles for GPUs that are not here, without a spilled register."""

import json
import subprocess
import sys

import pytest

from tokenarium.backend.settings import PROJECT

pytest.importorskip("triton", reason="Triton is not made for this platform")

SHARED_BYTES = {"sm_80": 99 << 10, "sm_90": 227 << 10}
"""What a block may have; below 9.0 the least of the devices that run code for 8.0."""

NO_PRODUCTS = {"reduce_rows", "join", "move_rows", "pool", "turn"}
"""Kernels without a matrix product."""

SHORT = (
    "attention_stats:bfloat16:64",
    "attention_stats:bfloat16:128",
    "attention_stats_special:bfloat16:64",
    "attention_stats:float32:64",
    "vocab_stats:bfloat16:128256",
    "decode_attention:bfloat16:80",
    "decode_attention_special:bfloat16:64",
    "gather_attention:bfloat16:64",
    "tree_attention:bfloat16:64",
    "tree_attention_special:bfloat16:80",
    "compact_kv:bfloat16:64",
    "rope_shift:bfloat16:64",
)
ALL = [
    *(
        f"{name}:{dtype}:{size}"
        for name in (
            *("attention_stats", "attention_stats_special"),
            *("decode_attention", "decode_attention_special"),
            *("gather_attention", "gather_attention_special"),
            *("tree_attention", "tree_attention_special"),
        )
        for dtype in ("bfloat16", "float16", "float32")
        for size in (32, 64, 80, 128, 256)
    ),
    *(f"compact_kv:{dtype}:{size}" for dtype in ("bfloat16", "float32") for size in (1, 80, 256)),
    *(f"rope_shift:{dtype}:{size}" for dtype in ("bfloat16", "float32") for size in (64, 80, 256)),
    *(f"vocab_stats:{dtype}:32003" for dtype in ("bfloat16", "float16", "float32")),
]


def compiled(cases, seconds):
    """What each kernel of the cases uses on each target, compiled in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.ahead_of_time", *cases],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found, cases):
    """Print the table, then refuse spills, blocks too large, and products off the matrix units."""
    for use in found:
        print(*use.values())
    assert {use["case"] for use in found} == set(cases)
    assert {use["target"] for use in found} == set(SHARED_BYTES)
    assert [use for use in found if use["spilled_bytes"]] == []
    assert [use for use in found if use["shared_bytes"] > SHARED_BYTES[use["target"]]] == []
    assert [use for use in found if not 0 < use["registers"] <= 255] == []
    for use in found:
        half = "float32" not in use["case"] and use["kernel"] not in NO_PRODUCTS
        assert use["matrix_units"] == half, use


@pytest.mark.process
@pytest.mark.timeout(400)
def test_kernels_compile_ahead_of_time_without_spills():
    check(compiled(SHORT, 390), SHORT)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kernels_compile_ahead_of_time_without_spills_everywhere():
    check(compiled(ALL, 1790), ALL)
