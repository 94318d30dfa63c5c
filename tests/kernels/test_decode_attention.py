"""Attention over a cache against attention computed head by head in float64."""

import pytest
import torch

from tokenarium.kernels.decode_attention import decode_attention, naive

D, DV = 8, 6


def inputs(heads, queries, starts, counts, dtype=torch.float32):
    draw = torch.Generator().manual_seed(heads + queries)
    total = starts[-1] + counts[-1] + 3
    keys, values = (torch.full((total, size), torch.nan, dtype=dtype) for size in (D, DV))
    for start, count in zip(starts, counts, strict=True):
        keys[start : start + count] = torch.randn(count, D, generator=draw).to(dtype)
        values[start : start + count] = torch.randn(count, DV, generator=draw).to(dtype)
    return torch.randn(heads, queries, D, generator=draw).to(dtype), keys, values


SHAPES = [
    (1, 1, [0], [1]),
    (4, 1, [2, 150], [123, 123]),
    (4, 1, [0, 200], [123, 42]),
    (6, 5, [1, 51], [43, 43]),
    (6, 5, [0, 20, 90], [7, 43, 5]),
]


@pytest.mark.parametrize(("heads", "queries", "starts", "counts"), SHAPES)
@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"softcap": 1.5},
        {"window": 4},
        {"bias": True},
        {"sinks": True},
        {"sinks": True, "window": 6},
    ],
    ids=lambda variant: "+".join(variant) or "plain",
)
def test_output_and_weights_are_those_of_the_definition(heads, queries, starts, counts, variant):
    q, keys, values = inputs(heads, queries, starts, counts)
    if variant.get("sinks"):
        variant = variant | {"sinks": torch.linspace(-1, 2, heads)}
    if variant.get("bias"):
        draw = torch.Generator().manual_seed(1)
        variant = variant | {"bias": torch.randn(heads, len(keys), generator=draw)}
    expected, law = naive.decode_attention(q, keys, values, starts, counts, scaling=0.3, **variant)
    out, weights = decode_attention(
        q, keys, values, starts, counts, scaling=0.3, want_weights=True, **variant
    )
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights.double(), law, rtol=1e-5, atol=1e-6)
    alone, none = decode_attention(q, keys, values, starts, counts, scaling=0.3, **variant)
    torch.testing.assert_close(alone, out, rtol=1e-5, atol=1e-6)
    assert none is None


@pytest.mark.parametrize(("heads", "queries", "starts", "counts"), SHAPES)
def test_half_precision_is_rounded_once(heads, queries, starts, counts) -> None:
    q, keys, values = inputs(heads, queries, starts, counts, torch.bfloat16)
    expected, law = naive.decode_attention(q, keys, values, starts, counts, scaling=0.3)
    out, weights = decode_attention(q, keys, values, starts, counts, scaling=0.3, want_weights=True)
    assert (out.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(out.double(), expected, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(weights.double(), law, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize(
    ("heads", "counts"), [(3, [5, 5]), (4, [5, 1]), (4, [5])], ids=["heads", "counts", "lists"]
)
def test_shapes_that_do_not_fit_are_refused(heads: int, counts: list[int]) -> None:
    q, keys, values = torch.zeros(heads, 2, D), torch.zeros(20, D), torch.zeros(20, DV)
    with pytest.raises(ValueError, match="do not fit"):
        decode_attention(q, keys, values, [0, 5], counts, scaling=1.0)
