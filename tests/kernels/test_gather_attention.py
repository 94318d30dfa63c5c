"""Attention over chosen entries against attention computed entry by entry in float64."""

import pytest
import torch

from tokenarium.kernels.decode_attention import decode_attention
from tokenarium.kernels.gather_attention import gather_attention, naive

D, DV = 8, 6


def inputs(heads, queries, starts, counts, dtype=torch.float32):
    """Buffers that are NaN where no head has an entry."""
    draw = torch.Generator().manual_seed(heads + queries)
    total = starts[-1] + counts[-1] + 3
    keys, values = (torch.full((total, size), torch.nan, dtype=dtype) for size in (D, DV))
    for start, count in zip(starts, counts, strict=True):
        keys[start : start + count] = torch.randn(count, D, generator=draw).to(dtype)
        values[start : start + count] = torch.randn(count, DV, generator=draw).to(dtype)
    return torch.randn(heads, queries, D, generator=draw).to(dtype), keys, values


def some(counts, sizes, block=1):
    """Ascending blocks, the last one among them."""
    draw = torch.Generator().manual_seed(sum(sizes))
    chosen = []
    for count, size in zip(counts, sizes, strict=True):
        blocks = -(-count // block)
        first = torch.randperm(blocks - 1, generator=draw)[: size - 1]
        chosen.append(torch.cat((first.sort().values, torch.tensor([blocks - 1]))))
    return chosen


SHAPES = [
    (1, 1, [0], [1], [1]),
    (4, 1, [2, 150], [123, 123], [42, 42]),
    (4, 1, [0, 200], [123, 42], [42, 6]),
    (6, 5, [1, 51], [43, 43], [17, 17]),
    (3, 5, [0, 20, 90], [7, 43, 5], [6, 1, 5]),
]
EACH = pytest.mark.parametrize(("heads", "queries", "starts", "counts", "sizes"), SHAPES)


@EACH
@pytest.mark.parametrize(
    "variant",
    [{}, {"softcap": 1.5}, {"sinks": True}, {"sinks": True, "softcap": 2.0}],
    ids=lambda variant: "+".join(variant) or "plain",
)
def test_output_and_weights_are_those_of_the_definition(
    heads, queries, starts, counts, sizes, variant
):
    q, keys, values = inputs(heads, queries, starts, counts)
    if variant.get("sinks"):
        variant = variant | {"sinks": torch.linspace(-1, 2, heads)}
    given = (q, keys, values, starts, counts, some(counts, sizes))
    expected, law = naive.gather_attention(*given, scaling=0.3, **variant)
    out, weights = gather_attention(*given, scaling=0.3, want_weights=True, **variant)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights.double(), law, rtol=1e-5, atol=1e-6)
    alone, none = gather_attention(*given, scaling=0.3, **variant)
    torch.testing.assert_close(alone, out, rtol=0, atol=0)
    assert none is None


@pytest.mark.parametrize("block", [2, 16, 123])
@pytest.mark.parametrize(
    ("heads", "queries", "counts"), [(4, 1, [123, 123]), (2, 3, [123, 42])], ids=["even", "ragged"]
)
def test_blocks_are_read_whole_and_the_last_as_far_as_it_goes(heads, queries, counts, block):
    starts = [1, 130]
    q, keys, values = inputs(heads, queries, starts, counts)
    chosen = some(counts, [min(3, -(-count // block)) for count in counts], block)
    given = (q, keys, values, starts, counts, chosen)
    expected, law = naive.gather_attention(*given, scaling=0.3, block=block)
    out, weights = gather_attention(*given, scaling=0.3, block=block, want_weights=True)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights.double(), law, rtol=1e-5, atol=1e-6)


@EACH
def test_half_precision_is_rounded_once(heads, queries, starts, counts, sizes):
    given = (*inputs(heads, queries, starts, counts, torch.bfloat16), starts, counts)
    chosen = some(counts, sizes)
    expected, law = naive.gather_attention(*given, chosen, scaling=0.3)
    out, weights = gather_attention(*given, chosen, scaling=0.3, want_weights=True)
    assert (out.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(out.double(), expected, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(weights.double(), law, rtol=2e-2, atol=2e-3)


@EACH
def test_all_entries_chosen_is_attention_over_the_cache(heads, queries, starts, counts, sizes):
    given = (*inputs(heads, queries, starts, counts), starts, counts)
    every = [torch.arange(count) for count in counts]
    expected, law = decode_attention(*given, scaling=0.3, want_weights=True)
    out, weights = gather_attention(*given, every, scaling=0.3, want_weights=True)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights, law, rtol=1e-5, atol=1e-6)


def test_by_hand():
    keys = torch.tensor([[9.0], [0.0], [1.0], [9.0], [2.0]])
    values = torch.tensor([[9.0], [1.0], [2.0], [9.0], [4.0]])
    one = torch.log(torch.tensor([[[2.0]]]))
    chosen = torch.tensor([[0, 1, 3]])
    out, weights = gather_attention(
        one, keys, values, [1], [4], chosen, scaling=1.0, want_weights=True
    )
    torch.testing.assert_close(weights, torch.tensor([[[1 / 7, 2 / 7, 4 / 7]]]))
    torch.testing.assert_close(out, torch.tensor([[[3.0]]]))  # (1 + 2 x 2 + 4 x 4) / 7


def test_a_query_that_sees_nothing_returns_zeros():
    q, keys, values = inputs(2, 3, [0], [6])
    out, weights = gather_attention(
        q, keys, values, [0], [6], [torch.tensor([4, 5])], scaling=0.3, want_weights=True
    )
    assert weights[:, 0].tolist() == [[0, 0]] * 2
    assert out[0].tolist() == [[0.0] * DV] * 2
    assert weights[:, 1].tolist() == [[1, 0]] * 2


@pytest.mark.parametrize(
    ("heads", "counts", "choices", "block"),
    [(3, [5, 5], 2, 1), (4, [5], 2, 1), (4, [5, 5], 1, 1), (4, [5, 5], 2, 0)],
    ids=["heads", "counts", "choices", "block"],
)
def test_shapes_that_do_not_fit_are_refused(heads, counts, choices, block):
    q, keys, values = torch.zeros(heads, 1, D), torch.zeros(20, D), torch.zeros(20, DV)
    chosen = [torch.tensor([0, 4])] * choices
    with pytest.raises(ValueError, match="do not fit"):
        gather_attention(q, keys, values, [0, 5], counts, chosen, scaling=1.0, block=block)


def test_known_products_spare_the_keys():
    draw = torch.Generator().manual_seed(1)
    q = torch.randn(4, 1, 8, generator=draw)
    keys, values = (torch.randn(40, 8, generator=draw) for _ in range(2))
    starts, counts = [0, 20], [17, 17]
    chosen = [torch.tensor([0, 3, 9, 16]), torch.tensor([1, 2, 5, 16])]
    given = (q, keys, values, starts, counts, chosen)
    out, weights = gather_attention(*given, scaling=0.3, want_weights=True)
    held = torch.stack([keys[start : start + 17] for start in starts]).repeat_interleave(2, 0)
    products = (held @ q.mT)[..., 0]
    nothing = torch.full_like(keys, float("nan"))
    again = gather_attention(
        q, nothing, *given[2:], scaling=0.3, want_weights=True, products=products
    )
    torch.testing.assert_close(again[0], out, rtol=0, atol=1e-6)
    torch.testing.assert_close(again[1], weights, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"products \(3, 17\) does not fit q"):
        gather_attention(*given, scaling=0.3, products=products[:3])
