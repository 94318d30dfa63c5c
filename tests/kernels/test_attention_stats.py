"""Attention statistics, from panels and from the native kernel, against the whole matrix."""

import dataclasses
import itertools
import os
import time

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pairwise import covering
from tokenarium.kernels.attention_stats import (
    AttentionInput,
    Axis,
    Grid,
    Want,
    attention_stats,
    implementation,
    naive,
    paths,
)
from tokenarium.kernels.attention_stats import workers as workers_of_stats
from tokenarium.kernels.attention_stats.learned_sinks import share_on_keys

EVERYTHING = {
    "received": True,
    "entropy": True,
    "distance": True,
    "columns": (0, 3, 40, 129),
    "diagonals": (0, 1, 5, 60),
    "decay": (0.9, 1.0),
    "last": 3,
    "segments": 4,
}
SIZES, PER_GROUP = (32, 64, 80, 128), (1, 2, 4, 8)
SHAPES = [
    (length, size, PER_GROUP[(n + m) % 4])
    for n, length in enumerate((1, 7, 63, 130, 257))
    for m, size in enumerate(SIZES)
]
DETAILS = {
    "plain": {},
    "window": {"window": 9},
    "window of one": {"window": 1},
    "softcap": {"softcap": 2.0},
    "sinks": {"sinks": True},
    "all": {"window": 70, "softcap": 3.0, "sinks": True},
}


@pytest.fixture(params=["panels", "native"], autouse=True)
def path(request, monkeypatch):
    """Every test of this file runs on both paths of a CPU."""
    monkeypatch.setattr(paths, "_wished", request.param)
    found = paths.chosen()
    if request.param == "native" and found.library is None:
        assert "differs" not in found.reason, "it compiles, and its own trial refuses it"
        assert "CI" not in os.environ, found.reason
        pytest.skip(found.reason)
    return request.param


def everything(queries, keys, tiles):
    """All statistics a text of this size has."""
    within = {
        "columns": tuple(column for column in EVERYTHING["columns"] if column < keys),
        "last": min(EVERYTHING["last"], queries),
        "segments": min(EVERYTHING["segments"], queries),
    }
    return Want(**{**EVERYTHING, **within}, tiles=tiles)


def make(heads, groups, queries, keys, size=16, values=20, dtype=torch.float32, seed=0):
    draw = torch.Generator().manual_seed(seed)
    q = torch.randn(heads, queries, size, generator=draw)
    k = torch.randn(groups, keys, size, generator=draw)
    v = torch.randn(groups, keys, values, generator=draw)
    return q.to(dtype), k.to(dtype), v.to(dtype)


def worst(ours, theirs):
    """Largest difference, relative where the number is above 1; NaN must stand alike."""
    assert ours.shape == theirs.shape
    assert torch.equal(ours.isnan(), theirs.isnan())
    scale = 1 + theirs.nan_to_num().abs()
    return ((ours - theirs).nan_to_num().abs() / scale).max().item() if ours.numel() else 0.0


def compare(tensors, want, tolerance=1e-5, **details):
    if details.get("sinks") is True:
        details["sinks"] = torch.linspace(-2, 3, tensors[0].shape[0])
    attention = AttentionInput(*tensors, scaling=0.25, **details)
    out, stats = attention_stats(attention, want)
    plain, expected = naive.attention_stats(attention, want)
    assert out.dtype == tensors[0].dtype
    assert worst(out.float(), plain.float()) < (tolerance if out.dtype == torch.float32 else 1e-2)
    for field in dataclasses.fields(stats):
        ours, theirs = getattr(stats, field.name), getattr(expected, field.name)
        assert (ours is None) == (theirs is None), field.name
        if ours is not None:
            assert ours.dtype == torch.float32
            assert worst(ours, theirs) < tolerance, field.name


CASES = covering(
    [
        (*shape, details, dtype)
        for shape in SHAPES
        for details in DETAILS
        for dtype in (torch.float32, torch.bfloat16)
    ],
    lambda length, size, per_group, details, dtype: (length, size, per_group),
    lambda length, size, per_group, details, dtype: (length, details),
    lambda length, size, per_group, details, dtype: (size, details),
    lambda length, size, per_group, details, dtype: (per_group, details),
    lambda length, size, per_group, details, dtype: (dtype, details),
    lambda length, size, per_group, details, dtype: (dtype, length),
    lambda length, size, per_group, details, dtype: (dtype, size),
)


@pytest.mark.parametrize(("length", "size", "per_group", "details", "dtype"), CASES)
def test_attention_stats_equals_the_whole_matrix(length, size, per_group, details, dtype):
    tensors = make(8, 8 // per_group, length, length, size, size, dtype)
    compare(tensors, everything(length, length, Grid.square(length, 24)), **DETAILS[details])


def test_shapes_pair_every_length_size_and_group():
    for one, two in itertools.combinations(range(3), 2):
        pairs = {(shape[one], shape[two]) for shape in SHAPES}
        assert len(pairs) == len({a for a, _ in pairs}) * len({b for _, b in pairs})


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
def test_attention_stats_of_the_last_queries_of_a_longer_text(details):
    want = everything(130, 190, Grid(Axis(60, 190, 7), Axis(0, 190, 11)))
    compare(make(4, 2, 130, 190), want, **details)


@pytest.mark.parametrize(
    ("queries", "keys"),
    [
        (Axis(40, 90, 50), Axis(3, 91, 5)),
        (Axis(0, 3, 2), Axis(100, 140, 9)),
        (Axis(139, 140, 1), Axis(0, 140, 140)),
        (Axis(10, 137, 1), Axis(0, 1, 1)),
    ],
)
@pytest.mark.parametrize("window", [None, 12])
def test_attention_stats_pools_any_rectangle(queries, keys, window):
    compare(make(4, 2, 140, 140), Want(received=True, tiles=Grid(queries, keys)), window=window)


def test_attention_stats_of_queries_in_the_middle():
    q, k, v = make(2, 1, 100, 100)
    grid = Grid(Axis(30, 50, 6), Axis(10, 60, 7))
    part = AttentionInput(q[:, 30:50], k, v, scaling=0.25, offset=30)
    _, some = attention_stats(part, Want(tiles=grid))
    _, whole = attention_stats(AttentionInput(q, k, v, scaling=0.25), Want(tiles=grid))
    assert worst(some.tiles_mean, whole.tiles_mean) < 1e-6
    assert worst(some.tiles_max, whole.tiles_max) < 1e-6


def test_attention_stats_additive_mask_hides_keys():
    mask = torch.zeros(1, 131, 131)
    mask[:, 9:, 3:7] = torch.finfo(torch.float32).min
    compare(make(4, 2, 131, 131), everything(131, 131, Grid.square(131, 20)), mask=mask)


@pytest.mark.parametrize("name", EVERYTHING)
def test_attention_stats_unwanted_is_absent(name):
    compare(make(2, 1, 130, 130), Want(**{name: EVERYTHING[name]}))
    compare(make(2, 1, 130, 130), Want())


@pytest.mark.parametrize("details", [{}, {"window": 300}], ids=["plain", "window"])
def test_attention_stats_of_many_jobs_and_padded_panels(details):
    want = Want(
        received=True,
        entropy=True,
        distance=True,
        columns=(0, 700),
        diagonals=(0, 250, 900),
        decay=(0.999, 0.5),
        last=37,
        segments=8,
        tiles=Grid(Axis(100, 1300, 7), Axis(50, 1290, 11)),
    )
    compare(make(2, 1, 1301, 1301, 32, 32), want, **details)


def test_attention_stats_of_a_key_far_above_those_read_first():
    """The native kernel's shift is from the newest keys: it must move, again and again."""
    q, k, v = make(2, 1, 300, 300, 64, 64)
    q[..., 0] = 40.0
    k[..., 0] = torch.linspace(30, 0, 300)
    compare((q, k, v), everything(300, 300, Grid.square(300, 10)), tolerance=5e-4)


def test_attention_stats_of_a_mask_that_differs_by_head_and_query():
    draw = torch.Generator().manual_seed(1)
    mask = torch.randn(4, 90, 150, generator=draw) * 3
    mask[:, :, 40:130] = float("-inf")
    mask[:, torch.arange(90), torch.arange(60, 150)] = 0
    want = everything(90, 150, Grid(Axis(60, 150, 7), Axis(0, 150, 11)))
    compare(make(4, 2, 90, 150), want, mask=mask)
    compare(make(4, 2, 90, 150), want, mask=mask.transpose(1, 2).contiguous().transpose(1, 2))


def test_attention_stats_passes_on_what_is_not_a_number():
    q, k, v = make(2, 1, 200, 200)
    k[0, 3, 0] = float("nan")
    out, stats = attention_stats(
        AttentionInput(q, k, v, scaling=0.25), Want(received=True, entropy=True)
    )
    assert out[3:].isnan().all()
    assert stats.entropy[:, 3:].isnan().all()
    assert stats.received[:, :3].isnan().all()


def test_attention_stats_of_logits_far_apart():
    q, k, v = make(2, 1, 300, 300, 64, 64)
    compare((q * 6, k, v), everything(300, 300, Grid.square(300, 10)), tolerance=4e-5)


def test_attention_stats_rows_sum_to_one_less_the_sink():
    q, k, v = make(4, 2, 99, 99)
    for sinks in (None, torch.randn(4)):
        attention = AttentionInput(q, k, v, scaling=0.25, sinks=sinks)
        _, stats = attention_stats(attention, Want(received=True))
        weights = naive.attention_weights(attention)
        torch.testing.assert_close(stats.received.sum(-1), weights.sum((1, 2)))
        if sinks is None:
            torch.testing.assert_close(stats.received.sum(-1), torch.full((4,), 99.0))


def test_attention_stats_uniform_attention_by_hand():
    q, k, v = (torch.zeros(1, 4, 8) for _ in range(3))
    grid = Grid.square(4, 2)
    _, stats = attention_stats(AttentionInput(q, k, v, scaling=1.0), everything(4, 4, grid))
    thirds = 1 / 2 + 1 / 3 + 1 / 4
    torch.testing.assert_close(stats.received[0, :2], torch.tensor([1 + thirds, thirds]))
    torch.testing.assert_close(stats.entropy[0], torch.tensor([1.0, 2, 3, 4]).log())
    torch.testing.assert_close(stats.distance[0], torch.tensor([0.0, 0.5, 1.0, 1.5]))
    torch.testing.assert_close(stats.diagonals[0, 0], 1 / torch.tensor([1.0, 2, 3, 4]))
    assert stats.diagonals[0, 1, 0].isnan()
    mean = [[(1 + 2 / 2) / 3, float("nan")], [(2 / 3 + 2 / 4) / 4, (1 / 3 + 2 / 4) / 3]]
    torch.testing.assert_close(stats.tiles_mean[0], torch.tensor(mean), equal_nan=True)


def test_attention_stats_does_not_depend_on_the_number_of_workers():
    tensors = make(4, 2, 1100, 1100)
    want = everything(1100, 1100, Grid.square(1100, 64))
    found = []
    for threads in (1, 2, 3):
        keep = torch.get_num_threads()
        torch.set_num_threads(threads)
        found.append(attention_stats(AttentionInput(*tensors, scaling=0.25), want)[1])
        torch.set_num_threads(keep)
    for field in dataclasses.fields(found[0]):
        first, *others = (getattr(stats, field.name).nan_to_num() for stats in found)
        assert all(torch.equal(first, other) for other in others), field.name


class Largest(TorchDispatchMode):
    """Remembers the largest tensor made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if torch.is_tensor(made):
            self.elements = max(self.elements, made.untyped_storage().nbytes() // 4)
        return made


def test_attention_stats_never_holds_the_matrix(monkeypatch):
    def in_this_thread(jobs, _):
        for job in jobs:
            job()

    monkeypatch.setattr(workers_of_stats, "run", in_this_thread)
    length = 4096
    tensors = make(4, 2, length, length, size=8, values=8)
    want = everything(length, length, Grid.square(length, 32))
    with Largest() as largest:
        attention_stats(AttentionInput(*tensors, scaling=0.25), want)
    assert largest.elements > 0
    assert largest.elements <= 1 << 20, "one panel, a sixteenth of one head's matrix"


def test_attention_stats_takes_views_with_heads_and_tokens_swapped_at_full_speed():
    tensors = make(4, 2, 400, 400, size=32, values=32)
    swapped = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in tensors]

    def seconds(arguments):
        spent = []
        for _ in range(3):
            start = time.process_time()
            attention_stats(AttentionInput(*arguments, scaling=0.25), Want())
            spent.append(time.process_time() - start)
        return min(spent)

    assert seconds(swapped) < 20 * seconds(tensors)


def test_attention_stats_refuses_shapes_that_do_not_fit():
    q, k, v = make(4, 3, 8, 8)
    with pytest.raises(ValueError, match=r"H a multiple of G"):
        AttentionInput(q, k, v, scaling=1.0)
    with pytest.raises(ValueError, match=r"tiles=9 is not between 1 and the 8 positions"):
        Grid(Axis(0, 8, 9), Axis(0, 8, 1))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"columns": (3, 8)}, r"columns=\[8\] are not among the 8 keys"),
        ({"columns": (-1,)}, r"columns=\[-1\]"),
        ({"last": 9}, r"last=9 is not between 0 and the 8 queries"),
        ({"segments": 9}, r"segments=9 .* lower it to at most 8"),
    ],
)
def test_attention_stats_refuses_positions_the_text_does_not_have(wrong, said):
    with pytest.raises(ValueError, match=said):
        attention_stats(AttentionInput(*make(2, 1, 8, 8), scaling=1.0), Want(**wrong))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"columns": range(65)}, r"columns has 65 positions: follow at most 64"),
        ({"decay": (0.0,)}, r"decay=\(0.0,\) is not within \(0, 1\]"),
        ({"diagonals": (-1,)}, r"distances start at 0"),
    ],
)
def test_want_refuses_what_no_text_has(wrong, said):
    with pytest.raises(ValueError, match=said):
        Want(**wrong)


def test_implementation_says_why(path):
    name, why = implementation(torch.device("cpu"))
    assert path in name
    assert "CPU" in why
    assert "cuda" in implementation(torch.device("cuda"))[1]


@pytest.mark.gpu
def test_attention_stats_on_a_gpu_equals_the_cpu():
    tensors = make(4, 2, 257, 257)
    want = everything(257, 257, Grid.square(257, 24))
    details = {"scaling": 0.25, "window": 90}
    here, expected = attention_stats(AttentionInput(*tensors, **details), want)
    on_gpu = AttentionInput(*(tensor.cuda() for tensor in tensors), **details)
    there, stats = attention_stats(on_gpu, want)
    assert worst(there.cpu(), here) < 1e-5
    for field in dataclasses.fields(stats):
        found = getattr(stats, field.name).cpu()
        assert worst(found, getattr(expected, field.name)) < 1e-5, field.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 7])
def test_share_on_keys_is_the_sum_of_the_weights(dtype, window):
    draw = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(heads, 90, 16, generator=draw).to(dtype) for heads in (4, 2, 2))
    sinks = torch.tensor([-4.0, 0.0, 9.0, 30.0])
    attention = AttentionInput(q, k, v, scaling=0.3, window=window, sinks=sinks)
    expected = naive.attention_weights(attention).sum(-1)
    found = share_on_keys(attention)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-12)
