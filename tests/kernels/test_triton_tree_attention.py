"""The Triton kernels of attention over a tree against its definition.

On a CPU these run in Triton's interpreter, in the process that ``test_interpreter`` starts; on a
CUDA device they run as they are (``-m gpu``).
"""

import os

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not made for this platform")

import tokenarium.kernels.tree_attention as public
from tests.kernels.test_tree_attention import BUSHY, CHAIN, STAR, drawn
from tokenarium.kernels.tree_attention import Ancestry, naive, triton

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

OUTPUTS = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
DETAILS = (
    {},
    {"window": 9},
    {"softcap": 2.0},
    {"sinks": True},
    {"window": 40, "softcap": 3.0, "sinks": True},
    {"window": 1},
)
SHAPES = (  # query heads, key heads, newest nodes, text, parents, size, value size
    (1, 1, 1, 0, [-1], 16, 16),
    (4, 1, 3, 42, STAR, 64, 64),
    (4, 2, 7, 231, CHAIN, 80, 32),
    (6, 2, 11, 43, BUSHY, 32, 80),
    (4, 4, 70, 31, drawn(131), 64, 64),
    (2, 1, 20, 16, drawn(200, 1), 128, 128),
)


@pytest.fixture(autouse=True)
def unwritten_is_nan(monkeypatch):
    def filled(shape, **options):
        return torch.full(shape, float("nan"), **options)

    monkeypatch.setattr(triton, "empty", filled)


def inputs(heads, groups, queries, text, parents, size, value_size, dtype):
    """Queries, and views of buffers that are NaN beyond what is held."""
    draw = torch.Generator().manual_seed(heads + queries)
    held = text + len(parents)
    given = [torch.randn(heads, queries, size, generator=draw).to(DEVICE, dtype)]
    for width in (size, value_size):
        buffer = torch.full((groups, held + 40, width), torch.nan)
        buffer[:, :held] = torch.randn(groups, held, width, generator=draw)
        given.append(buffer.to(DEVICE, dtype)[:, :held])
    return given


def check(shape, dtype, details):
    heads, parents = shape[0], shape[4]
    given = inputs(*shape, dtype)
    sinks = torch.linspace(-1, 2, heads, device=DEVICE) if details.get("sinks") else None
    options = {"softcap": None, "window": None} | details | {"sinks": sinks, "scaling": 0.2}
    out = triton.tree_attention(*given, Ancestry(parents), **options)
    expected = naive.tree_attention(*given, parents, **options)
    assert out.dtype == dtype
    tolerance = OUTPUTS[dtype]
    torch.testing.assert_close(out.cpu().double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("index", range(len(SHAPES)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triton_tree_equals_every_path(index, dtype):
    shift = 3 * (dtype == torch.bfloat16)
    check(SHAPES[index], dtype, DETAILS[(index + shift) % len(DETAILS)])


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", OUTPUTS)
@pytest.mark.parametrize("details", DETAILS, ids=str)
def test_triton_tree_equals_every_path_everywhere(shape, dtype, details):
    check(shape, dtype, details)


@pytest.mark.parametrize("programs", [1, 264])
def test_triton_tree_of_many_words_is_shared_out_anyhow(monkeypatch, programs):
    monkeypatch.setattr(triton, "PROGRAMS", programs)
    check((2, 2, 5, 37, drawn(512, 3), 16, 16), torch.float32, {"window": 3})
    check((2, 2, 5, 37, range(-1, 511), 16, 16), torch.float32, {})


def test_triton_tree_stands_behind_the_public_function(monkeypatch):
    given = inputs(4, 2, 5, 20, BUSHY, 16, 16, torch.float32)
    monkeypatch.setattr(public, "why_not_triton", lambda _: "not wanted")
    expected = public.tree_attention(*given, Ancestry(BUSHY), scaling=0.3)
    called, original = [], triton.tree_attention

    def noted(*args, **options):
        called.append(options)
        return original(*args, **options)

    monkeypatch.setattr(triton, "tree_attention", noted)
    monkeypatch.setattr(public, "why_not_triton", lambda _: None)
    found = public.tree_attention(*given, Ancestry(BUSHY), scaling=0.3)
    assert called
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
