"""The Triton kernels of a cache against their definitions.

On a CPU these run in Triton's interpreter, in the process that ``test_interpreter`` starts; on a
CUDA device they run as they are (``-m gpu``).
"""

import os

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not made for this platform")

import tokenarium.kernels.compact_kv as compaction
import tokenarium.kernels.decode_attention as decoding
import tokenarium.kernels.gather_attention as choosing
import tokenarium.kernels.rope_shift as turning
from tokenarium.kernels.compact_kv import compact_kv
from tokenarium.kernels.compact_kv import triton as compact
from tokenarium.kernels.decode_attention import decode_attention, naive, triton
from tokenarium.kernels.gather_attention import gather_attention
from tokenarium.kernels.gather_attention import naive as naive_gather
from tokenarium.kernels.gather_attention import triton as gather
from tokenarium.kernels.rope_shift import naive as naive_rope
from tokenarium.kernels.rope_shift import rope_shift
from tokenarium.kernels.rope_shift import triton as rope

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

    for module in (triton, rope):
        monkeypatch.setattr(module, "empty", filled)


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


LONG = (2, 1, [3, 1100], [1090, 530], 16, 16)


@pytest.mark.parametrize("details", [{"sinks": True}, {"window": 600}], ids=str)
def test_triton_parts_are_joined_beyond_the_weights_of_one_program(details):
    """Three programs write the weights of a query, and each joins more parts than fit at once."""
    assert max(LONG[3]) > 2 * triton.WEIGHTS
    heads = triton.head_table(tuple(LONG[2]), tuple(LONG[3]), torch.device(DEVICE))
    q, keys, values = inputs(*LONG, torch.float32)
    prepared = triton.decoding(
        q, keys, values, heads, max(LONG[3]), None, 0.2, None, None, None, want_weights=True
    )
    assert prepared.launches[1].grid == (2, 3)
    assert prepared.launches[0].grid[0] > 2 * triton.JOINED.value
    check_decoding(LONG, torch.float32, details)


def test_triton_choice_is_joined_beyond_the_weights_of_one_program():
    check_choice(LONG, [1030, 517], 1, torch.float32, {"sinks": True})


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


def draw_blocks(counts, sizes, block):
    """Ascending blocks of each head."""
    draw = torch.Generator().manual_seed(sum(sizes))
    return [
        torch.randperm(-(-count // block), generator=draw)[:size].sort().values.to(DEVICE)
        for count, size in zip(counts, sizes, strict=True)
    ]


def check_choice(shape, sizes, block, dtype, details):
    heads, _, starts, counts, *_ = shape
    q, keys, values = inputs(*shape, dtype)
    chosen = draw_blocks(counts, sizes, block)
    sinks = torch.linspace(-1, 2, heads, device=DEVICE) if details.get("sinks") else None
    options = {"softcap": None} | details | {"sinks": sinks, "scaling": 0.2, "block": block}
    given = q, keys, values, starts, counts
    expected, law = naive_gather.gather_attention(*given, chosen, **options)
    for form in (chosen, torch.stack(chosen)) if len(set(sizes)) == 1 else (chosen,):
        out, weights = gather.gather_attention(*given, form, **options, want_weights=True)
        close(out, expected, OUTPUTS[dtype])
        close(weights, law, WEIGHTS[dtype])
    alone, none = gather.gather_attention(*given, chosen, **options, want_weights=False)
    assert torch.equal(alone, out)
    assert none is None


CHOICES = (  # heads, queries, starts, counts, size, value size; chosen a head; block; details
    ((1, 1, [0], [1], 16, 16), [1], 1, {}),
    ((4, 1, [2, 150], [123, 123], 64, 64), [70, 70], 1, {"softcap": 2.0}),
    ((4, 5, [140, 0, 90, 95], [70, 43, 4, 2], 32, 80), [31, 1, 2, 2], 1, {"sinks": True}),
    ((6, 3, [1, 301], [231, 43], 80, 32), [9, 2], 16, {}),
    ((2, 8, [1, 51], [43, 43], 64, 64), [4, 4], 8, {"sinks": True, "softcap": 3.0}),
    ((2, 8, [0], [50], 64, 64), [0], 1, {}),
)


@pytest.mark.parametrize("index", range(len(CHOICES)))
def test_triton_choice_equals_the_definition(index):
    shape, sizes, block, details = CHOICES[index]
    check_choice(shape, sizes, block, DTYPES[index % 2], details)


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", OUTPUTS)
@pytest.mark.parametrize("block", [1, 5, 16])
def test_triton_choice_equals_the_definition_everywhere(choice, dtype, block):
    shape, sizes, _, details = choice
    fewer = [min(n, -(-count // block)) for n, count in zip(sizes, shape[3], strict=True)]
    check_choice(shape, fewer, block, dtype, details)


def test_triton_choice_a_query_that_sees_nothing_returns_zeros():
    shape = (2, 3, [4], [20], 16, 16)
    q, keys, values = inputs(*shape, torch.float32)
    last = torch.tensor([[19]], device=DEVICE)
    options = {"scaling": 0.3, "softcap": None, "sinks": None, "block": 1, "want_weights": True}
    out, weights = gather.gather_attention(q, keys, values, [4], [20], last, **options)
    assert out[:2].count_nonzero() == weights[:, :2].count_nonzero() == 0
    assert torch.equal(weights[:, 2], torch.ones(2, 1, device=DEVICE))
    close(out[2], values[23].cpu().double().expand(2, -1), 1e-6)


def check_compaction(starts, counts, lefts, by, dtype, shape):
    """Move drawn rows by so many places and compare with a copy, row by row."""
    draw = torch.Generator().manual_seed(sum(lefts) + by)
    kept = [
        torch.randperm(count, generator=draw)[:left].sort().values.to(DEVICE)
        for count, left in zip(counts, lefts, strict=True)
    ]
    total = max(start + count for start, count in zip(starts, counts, strict=True)) + 9
    before = torch.randn(total, *shape, generator=draw).mul(50).to(DEVICE, dtype)
    places = [start + by for start in starts]
    expected = before.clone()
    for start, rows, place in zip(starts, kept, places, strict=True):
        expected[place : place + len(rows)] = before[start + rows]
    same = len(set(lefts)) == 1
    for given in (kept, torch.stack(kept)) if same else (kept,):
        buffer = before.clone()
        compact.compact_kv(buffer, starts, given, places)
        assert torch.equal(buffer, expected)


MOVES = (  # starts, counts, kept, moved by
    ([0], [1], [1], 0),
    ([9], [123], [42], 0),
    ([9, 350], [300, 300], [257, 257], 0),
    ([9, 350], [300, 300], [257, 257], 6),
    ([9, 80, 401], [7, 311, 43], [1, 300, 0], -5),
    ([9, 350], [300, 200], [281, 31], 9),
    ([9, 350], [300, 300], [150, 150], 150),
)


@pytest.mark.parametrize("index", range(len(MOVES)))
def test_triton_compaction_moves_rows_over_themselves(index):
    dtype = (torch.float32, torch.bfloat16, torch.int32, torch.float16)[index % 4]
    check_compaction(*MOVES[index], dtype, ((), (3,), (80,), (64,), (5,))[index % 5])


@pytest.mark.slow
@pytest.mark.parametrize("moves", MOVES)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int32, torch.int64, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (42,), (64,), (2, 40)])
def test_triton_compaction_moves_rows_over_themselves_everywhere(moves, dtype, shape):
    check_compaction(*moves, dtype, shape)


def test_triton_compaction_leaves_all_where_nothing_is_kept():
    buffer = torch.arange(20.0, device=DEVICE).view(10, 2)
    nothing = [torch.zeros(0, dtype=torch.int64, device=DEVICE)] * 2
    before = buffer.clone()
    compact.compact_kv(buffer, [0, 5], nothing, [0, 5])
    assert torch.equal(buffer, before)


def check_turn(shape, half, interleaved, dtype, farthest):
    draw = torch.Generator().manual_seed(half)
    x = torch.randn(shape, generator=draw).to(DEVICE, dtype)
    by = torch.randint(-farthest, farthest + 1, shape[-2:-1], generator=draw).to(DEVICE)
    by[0] = farthest
    frequencies = (10000.0 ** -(torch.arange(half) / max(1, half))).to(DEVICE)
    found = rope.rope_shift(x, by, frequencies, interleaved)
    assert found.dtype == torch.float32
    expected = naive_rope.rope_shift(x, by, frequencies, interleaved=interleaved)
    close(found, expected, 1e-5)


TURNS = (  # shape, half the entries that turn, partners are neighbours, dtype, farthest move
    ((1, 2), 1, False, torch.float32, 1),
    ((3, 67, 64), 32, False, torch.bfloat16, 300),
    ((42, 80), 16, True, torch.float32, 5000),
    ((2, 5, 128), 64, True, torch.float16, 131072),
    ((3000, 4), 2, False, torch.float32, 1000000),
    ((2, 3, 5, 6), 2, False, torch.float32, 10),
)


@pytest.mark.parametrize("case", TURNS)
def test_triton_turn_equals_the_complex_product(case):
    check_turn(*case)


@pytest.mark.slow
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("size", [6, 42, 64, 80, 128])
@pytest.mark.parametrize("share", [1, 3])
@pytest.mark.parametrize("dtype", OUTPUTS)
@pytest.mark.parametrize("farthest", [1, 2048, 131072])
def test_triton_turn_equals_the_complex_product_everywhere(
    interleaved, size, share, dtype, farthest
):
    check_turn((2, 123, size), size // 2 // share, interleaved, dtype, farthest)


def test_triton_turn_takes_views():
    x, by = torch.randn(6, 20, 16, device=DEVICE), torch.arange(10, device=DEVICE) * 3
    frequencies = torch.linspace(1, 0.01, 8, device=DEVICE)
    view = x[::2, 5:15]
    expected = rope.rope_shift(view.contiguous(), by, frequencies, False)
    assert torch.equal(rope.rope_shift(view, by, frequencies, False), expected)


def test_triton_kernels_of_a_cache_stand_behind_the_public_functions(monkeypatch):
    def everything():
        shape = (4, 2, [1, 50], [40, 31], 16, 16)
        q, keys, values = inputs(*shape, torch.float32)
        chosen = draw_blocks(shape[3], [9, 7], 2)
        options = {"scaling": 0.3, "want_weights": True}
        found = [*decode_attention(q, keys, values, *shape[2:4], **options, window=20)]
        found += gather_attention(q, keys, values, *shape[2:4], chosen, block=2, **options)
        found.append(rope_shift(q, torch.arange(2).to(DEVICE), torch.ones(3).to(DEVICE)))
        compact_kv(values, shape[2], chosen)
        return [*found, values.nan_to_num(7.0)]

    called = []
    pairs = (decoding, triton), (choosing, gather), (turning, rope), (compaction, compact)
    for module, kernel in pairs:
        name = kernel.__name__.split(".")[-2]
        original = getattr(kernel, name)

        def noted(*args, name=name, original=original, **options):
            called.append(name)
            return original(*args, **options)

        monkeypatch.setattr(kernel, name, noted)
        monkeypatch.setattr(module, "why_not_triton", lambda _: "not wanted")
    expected = everything()
    assert called == []
    for module, _ in pairs:
        monkeypatch.setattr(module, "why_not_triton", lambda _: None)
    torch.testing.assert_close(everything(), expected, rtol=1e-5, atol=1e-5)
    assert called == ["decode_attention", "gather_attention", "rope_shift", "compact_kv"]
