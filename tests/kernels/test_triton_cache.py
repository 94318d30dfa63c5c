"""The Triton kernels of a cache against their definitions.

On a CPU these run in Triton's interpreter, in the process that ``test_interpreter`` starts; on a
CUDA device they run as they are (``-m gpu``).
"""

import os

import pytest
import torch

from kernels.decode_attention import naive

triton = pytest.importorskip(
    "kernels.decode_attention.triton",
    reason="Triton is not made for this platform",
    exc_type=ImportError,
)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

DTYPES = (torch.float32, torch.bfloat16)
OUTPUTS = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
WEIGHTS = {torch.float32: 1e-5, torch.bfloat16: 1e-4, torch.float16: 1e-4}
DETAILS = (
    {},
    {"window": 9},
    {"softcap": 2.0},
    {"sinks": True},
    {"window": 40, "softcap": 3.0, "sinks": True},
    {"window": 1},
)
SHAPES = (  # heads, queries, starts, counts, size, value size
    (1, 1, [0], [1], 16, 16),
    (4, 1, [2, 150], [123, 123], 64, 64),
    (4, 1, [3, 0], [231, 2], 32, 80),
    (6, 5, [1, 51], [43, 43], 80, 32),
    (6, 3, [140, 0, 90], [70, 43, 3], 128, 128),
    (3, 16, [0], [130], 64, 64),
)


@pytest.fixture(autouse=True)
def unwritten_is_nan(monkeypatch):
    def filled(shape, **options):
        return torch.full(shape, float("nan"), **options)

    monkeypatch.setattr(triton, "empty", filled)


def inputs(heads, queries, starts, counts, size, value_size, dtype):
    """Queries, and buffers that are NaN where no head has an entry."""
    draw = torch.Generator().manual_seed(heads + queries)
    total = max(start + count for start, count in zip(starts, counts, strict=True)) + 3
    buffers = [torch.full((total, width), torch.nan) for width in (size, value_size)]
    for start, count in zip(starts, counts, strict=True):
        for buffer in buffers:
            drawn = torch.randn(count, buffer.shape[1], generator=draw)
            buffer[start : start + count] = drawn
    q = torch.randn(heads, queries, size, generator=draw)
    return [given.to(DEVICE, dtype) for given in (q, *buffers)]


def close(ours, theirs, tolerance):
    torch.testing.assert_close(ours.cpu().double(), theirs, rtol=tolerance, atol=tolerance)


def check_decoding(shape, dtype, details):
    heads, _, starts, counts, *_ = shape
    q, keys, values = inputs(*shape, dtype)
    sinks = torch.linspace(-1, 2, heads, device=DEVICE) if details.get("sinks") else None
    options = {"softcap": None, "window": None} | details | {"sinks": sinks, "scaling": 0.2}
    given = q, keys, values, starts, counts
    out, weights = triton.decode_attention(*given, **options, want_weights=True)
    expected, law = naive.decode_attention(*given, **options)
    assert out.dtype == dtype
    close(out, expected, OUTPUTS[dtype])
    close(weights, law, WEIGHTS[dtype])
    alone, none = triton.decode_attention(*given, **options, want_weights=False)
    assert torch.equal(alone, out)
    assert none is None


@pytest.mark.parametrize("index", range(len(SHAPES)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_triton_decoding_equals_the_definition(index, dtype):
    shift = 3 * DTYPES.index(dtype)
    check_decoding(SHAPES[index], dtype, DETAILS[(index + shift) % len(DETAILS)])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", OUTPUTS)
@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_triton_decoding_equals_the_definition_everywhere(shape, dtype, details):
    check_decoding(shape, dtype, details)


def test_triton_decoding_takes_views():
    shape = (4, 2, [1, 40], [30, 30], 32, 16)
    q, keys, values = inputs(*shape, torch.float32)
    options = {"scaling": 0.3, "softcap": None, "sinks": None, "window": None}
    options["want_weights"] = False
    whole, _ = triton.decode_attention(q, keys, values, *shape[2:4], **options)
    apart = q.transpose(0, 1).contiguous().transpose(0, 1), keys.T.contiguous().T, values
    assert torch.equal(triton.decode_attention(*apart, *shape[2:4], **options)[0], whole)
