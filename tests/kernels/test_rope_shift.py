"""Turning vectors on against products of complex numbers, and against encoding them elsewhere."""

import pytest
import torch

from tokenarium.kernels.rope_shift import naive, rope_shift, rope_shift_together


def frequencies(half, base=10000.0):
    return base ** -(torch.arange(half) / half)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(
    ("shape", "half"), [((1, 2), 1), ((7, 16), 8), ((3, 42, 80), 16), ((2, 3, 5, 6), 2)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_pair_turns_by_its_frequency(shape, half, interleaved, dtype):
    draw = torch.Generator().manual_seed(half)
    x = torch.randn(shape, generator=draw).to(dtype)
    by = torch.randint(-3000, 100000, (shape[-2],), generator=draw)
    found = rope_shift(x, by, frequencies(half), interleaved=interleaved)
    assert found.dtype == torch.float32
    expected = naive.rope_shift(x, by, frequencies(half), interleaved=interleaved)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_turning_in_two_steps_is_turning_once():
    x, by = torch.randn(9, 16), torch.arange(9) * 11
    once = rope_shift(x, by + 5, frequencies(8))
    twice = rope_shift(rope_shift(x, by, frequencies(8)), torch.full((9,), 5), frequencies(8))
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("rows", "half", "by"), [(1, 1, 1), (7, 8, -3), (42, 5, 1)])
def test_all_turn_together_in_place(rows, half, by, interleaved):
    storage = torch.randn(3, rows + 4, 16, generator=torch.Generator().manual_seed(rows))
    expected = storage.double()
    own = expected[:, 2 : 2 + rows]
    steps = torch.full((rows,), by)
    own.copy_(naive.rope_shift(own, steps, frequencies(half), interleaved=interleaved))
    view = storage[:, 2 : 2 + rows]
    rope_shift_together(view, by, frequencies(half), interleaved=interleaved)
    torch.testing.assert_close(storage.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("half", "dtype"), [(9, torch.float32), (4, torch.bfloat16)])
def test_turning_together_refuses_what_it_would_spoil(half, dtype):
    with pytest.raises(ValueError, match="in float32, and twice the frequencies at most D"):
        rope_shift_together(torch.zeros(5, 16, dtype=dtype), 1, torch.ones(half))


@pytest.mark.parametrize(("rows", "half"), [(4, 4), (5, 9)])
def test_shapes_that_do_not_fit_are_refused(rows, half):
    with pytest.raises(ValueError, match="do not fit: x is"):
        rope_shift(torch.zeros(5, 16), torch.zeros(rows), torch.ones(half))
