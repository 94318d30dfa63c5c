"""The Triton kernels of attention_stats against the whole matrix.

On a CPU these run in Triton's interpreter, in the process that ``test_interpreter`` starts; on a
CUDA device they run as they are (``-m gpu``).
"""

import dataclasses
import os

import pytest
import torch

from tokenarium.kernels.attention_stats import AttentionInput, Axis, Grid, Want, naive

pytest.importorskip("triton", reason="Triton is not made for this platform")

from tokenarium.kernels.attention_stats.triton import attention_stats, forward, layer
from tokenarium.kernels.attention_stats.triton.picked import picked_launch
from tokenarium.kernels.attention_stats.triton.summing import sums_launch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

LENGTHS, SIZES, GROUPS = (1, 7, 63, 130, 257), (32, 64, 80, 128), (1, 2, 4, 8)
DTYPES = (torch.float32, torch.bfloat16)
STATISTICS = {torch.float32: 1e-5, torch.bfloat16: 1e-4, torch.float16: 1e-4}
OUTPUTS = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
DETAILS = (
    {},
    {"window": 9},
    {"softcap": 2.0},
    {"sinks": True},
    {"mask": True},
    {"window": 70, "softcap": 3.0, "sinks": True},
    {"window": 1},
)


def pairwise():
    """Every pair of two of length, head size, queries a key head and dtype, in 20 cases."""
    for i, length in enumerate(LENGTHS):
        for j, size in enumerate(SIZES):
            details = DETAILS[(2 * i + j) % len(DETAILS)]
            yield length, size, GROUPS[(i + j) % 4], DTYPES[(i + j // 2) % 2], details


def everything(queries, keys):
    return Want(
        received=True,
        entropy=True,
        distance=True,
        columns=(keys - 1, 0, keys // 2),
        diagonals=(0, 1, 5),
        decay=(0.9, 1.0),
        last=min(3, queries),
        segments=min(3, queries),
        tiles=Grid.square(keys, 12),
    )


def make(heads, groups, queries, keys, size, dtype=torch.float32, values=None):
    draw = torch.Generator().manual_seed(size + queries)
    shapes = ((heads, queries, size), (groups, keys, size), (groups, keys, values or size))
    return [torch.randn(shape, generator=draw).to(DEVICE, dtype) for shape in shapes]


def masked(heads, queries, keys):
    """Hide two keys from all later queries, other ones in other heads."""
    mask = torch.zeros(heads, queries, keys, device=DEVICE)
    for head in range(heads):
        hidden = slice(keys // 3 + head, keys // 3 + head + 2)
        mask[head, keys - queries + 1 + head :, hidden] = torch.finfo(torch.float32).min
    return mask


@pytest.fixture(autouse=True)
def unwritten_is_nan(monkeypatch):
    def filled(shape, **options):
        return torch.full(shape, float("nan"), **options)

    monkeypatch.setattr(layer, "empty", filled)
    monkeypatch.setattr(forward, "empty", filled)


def worst(ours, theirs):
    """Largest difference, relative where the number is above 1; NaN must stand alike."""
    assert ours.shape == theirs.shape
    assert torch.equal(ours.isnan(), theirs.isnan())
    scale = 1 + theirs.nan_to_num().abs()
    return ((ours - theirs).nan_to_num().abs() / scale).max().item() if ours.numel() else 0.0


def compare(tensors, want, **details):
    heads, queries, size = tensors[0].shape
    if details.get("sinks"):
        details["sinks"] = torch.linspace(-2, 3, heads, device=DEVICE)
    if details.get("mask"):
        details["mask"] = masked(1 if size == 80 else heads, queries, tensors[1].shape[1])
    dtype, scaling = tensors[0].dtype, size**-0.5
    attention = AttentionInput(*tensors, scaling=scaling, **details)
    out, stats = attention_stats(attention, want)
    plain, expected = naive.attention_stats(attention, want)
    assert out.dtype == dtype
    assert worst(out.float(), plain.float()) < OUTPUTS[dtype]
    for field in dataclasses.fields(stats):
        ours, theirs = getattr(stats, field.name), getattr(expected, field.name)
        assert (ours is None) == (theirs is None), field.name
        if ours is not None:
            assert ours.dtype == torch.float32
            assert worst(ours, theirs) < STATISTICS[dtype], field.name


@pytest.mark.parametrize(("length", "size", "per_group", "dtype", "details"), pairwise())
def test_triton_attention_equals_the_whole_matrix(length, size, per_group, dtype, details):
    groups = 1 if length > 100 or per_group > 2 else 2
    tensors = make(per_group * groups, groups, length, length, size, dtype)
    compare(tensors, everything(length, length), **details)


@pytest.mark.slow
@pytest.mark.parametrize("details", DETAILS)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [63, 130, 257])
def test_triton_attention_equals_the_whole_matrix_everywhere(length, size, dtype, details):
    compare(make(4, 2, length, length, size, dtype), everything(length, length), **details)


@pytest.mark.parametrize("details", [{}, DETAILS[5], DETAILS[4]])
def test_triton_attention_of_the_last_queries_of_a_longer_text(details):
    tensors = make(2, 1, 70, 190, 32, torch.bfloat16, values=48)
    grid = Grid(Axis(120, 190, 7), Axis(0, 190, 11))
    compare(tensors, dataclasses.replace(everything(70, 190), tiles=grid), **details)


@pytest.mark.parametrize("offset", [1, 30])
def test_triton_attention_of_queries_in_the_middle(offset):
    grid = Grid(Axis(offset + 2, 100, 7), Axis(0, 60, 7))
    want = dataclasses.replace(everything(33, 100), tiles=grid)
    compare(make(2, 1, 33, 100, 32), want, offset=offset)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        (Axis(40, 90, 50), Axis(3, 91, 5)),
        (Axis(0, 3, 2), Axis(100, 140, 9)),
        (Axis(139, 140, 1), Axis(0, 140, 140)),
        (Axis(10, 137, 1), Axis(0, 1, 1)),
        (Axis(70, 140, 3), Axis(67, 140, 2)),
    ],
)
@pytest.mark.parametrize("window", [None, 12])
def test_triton_attention_pools_any_rectangle(queries, keys, window):
    tensors = make(1, 1, 140, 140, 32, torch.bfloat16)
    compare(tensors, Want(tiles=Grid(queries, keys)), window=window)


@pytest.mark.parametrize("one", dataclasses.fields(Want), ids=lambda field: field.name)
def test_triton_attention_computes_one_statistic_alone(one):
    wanted = {one.name: getattr(everything(70, 70), one.name)}
    compare(make(2, 1, 70, 70, 32, torch.bfloat16), Want(**wanted))


def test_triton_attention_starts_no_kernel_for_what_is_not_wanted():
    q, k, v = make(2, 1, 300, 300, 32)
    options = {"window": None, "softcap": None, "sinks": None, "mask": None, "target": 0}
    inputs = layer.Layer(q, k, v, scaling=1.0, offset=0, **options)
    sums = torch.zeros(2, 300, device=DEVICE)
    rows = Want(entropy=True, distance=True)
    assert picked_launch(inputs, rows, sums) is None
    assert sums_launch(inputs, rows, sums) is None
    last = sums_launch(inputs, Want(last=5), sums).launches[0].arguments
    assert walked(last) == (295, 300)
    grid = Grid(Axis(200, 210, 2), Axis(64, 96, 4))
    corner, _ = sums_launch(inputs, Want(tiles=grid), sums).launches
    assert corner.grid[0] == 1
    assert walked(corner.arguments) == (200, 210)


def walked(arguments):
    """First query of a pass over the keys, and one after its last."""
    pieces = arguments["pieces"]
    assert torch.equal(pieces[1:, 0], pieces[:-1, 1])
    return pieces[0, 0].item(), pieces[-1, 1].item()


def test_triton_attention_takes_views_with_heads_and_tokens_swapped():
    tensors = make(4, 2, 33, 33, 32)
    swapped = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in tensors]
    compare(swapped, everything(33, 33))
    strange = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    compare(strange, everything(33, 33))


def test_triton_attention_of_large_logits_under_a_cap():
    q, k, v = make(2, 1, 63, 63, 32)
    compare([q * 40, k, v], everything(63, 63), softcap=5.0)
