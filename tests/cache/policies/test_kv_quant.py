"""A quantised cache: its error is bounded, its bytes are counted, its newest entries are exact."""

import pytest
import torch

from tests.cache.policies.conftest import Pair
from tokenarium.backend.cache import quantiser
from tokenarium.backend.cache.packed_entries import PackedEntries

NEAR = 1e-5


def stored(pair: Pair, length: int, **parameters: int):
    """Layers after a prompt: as they are, and quantised."""
    ids = pair.prompt(length)
    plain = pair.under("full", 1, ids).layers
    return plain, pair.under("kv_quant", 1, ids, **parameters).layers


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("shape", [(5, 32), (3, 70), (1, 1)])
def test_a_number_is_off_by_half_a_step_at_most(bits, shape):
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(bits)) * 3
    codes, scales = quantiser.quantised(numbers, bits, 32)
    packed = quantiser.in_bytes(codes, bits)
    assert packed.shape == (shape[0], -(-shape[1] * bits // 8))
    again = quantiser.out_of_bytes(packed, bits, shape[1])
    assert torch.equal(again, codes)
    found = quantiser.dequantised(again, scales, 32)
    steps = scales[..., 1].float()[:, torch.arange(shape[1]) // 32]
    assert ((found - numbers).abs() <= steps / 2 + 1e-6).all()
    if shape[1] >= 32:
        widest = torch.stack([part.amax(1) - part.amin(1) for part in numbers.split(32, 1)], 1)
        own = scales[..., 1].float() * (2**bits - 1)
        assert (own <= widest * 1.002 + 0.01).all(), "steps must be no wider than the group needs"


def test_numbers_by_hand():
    codes, scales = quantiser.quantised(torch.tensor([[0.0, 1.0, 2.0, 3.0, -1.0, 2.0]]), 2, 4)
    assert codes.tolist() == [[0, 1, 2, 3, 0, 3]]
    assert scales.tolist() == [[[0, 1], [-1, 1]]]
    assert quantiser.in_bytes(codes, 2).tolist() == [[0b11100100, 0b1100]]


def test_equal_numbers_are_off_by_the_rounding_of_float16_alone():
    codes, scales = quantiser.quantised(torch.full((2, 8), 0.1), 4, 8)
    assert (quantiser.dequantised(codes, scales, 8) - 0.1).abs().max() < 1e-6


def test_numbers_beyond_float16_are_refused():
    with pytest.raises(ValueError, match="1e\\+06 is beyond the range of float16"):
        quantiser.quantised(torch.tensor([[1e6, 0.0]]), 4, 2)


def check_kept_sets(twins) -> None:
    """Every token stays: older ones within the bound of their group, the newest exact."""
    plain, found = stored(Pair(*twins("llama")), 61, bits=4, group=8, newest=10)
    for own, quantised in zip(plain, found, strict=True):
        entries = quantised.entries
        assert isinstance(entries, PackedEntries)
        assert entries.packed == [48, 48]  # 61 - 10, in whole groups of 8
        assert torch.equal(entries.rows("positions"), own.entries.rows("positions"))
        for name in ("keys", "values"):
            before, after = own.entries.rows(name), entries.rows(name)
            assert torch.equal(before[:, 48:], after[:, 48:])
            old = before[:, :48]
            groups = old.unflatten(1, (6, 8)) if name == "keys" else old[:, :, None]
            inside = 2 if name == "keys" else 3
            wide = groups.amax(inside, keepdim=True) - groups.amin(inside, keepdim=True)
            bound = (wide / 15 / 2 * 1.01 + 1e-3).expand_as(groups).reshape_as(old)
            error = (old - after[:, :48]).abs()
            assert (error <= bound).all()
            assert error.max() > NEAR, "nothing was quantised"


def test_kv_quant_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)


def test_more_groups_are_quantised_while_decoding(tiny):
    pair, steps = tiny(), list(range(20, 40))
    sequence = pair.under("kv_quant", 1, pair.prompt(21), steps, bits=2, group=4, newest=5)
    for layer in sequence.layers:
        assert layer.entries.packed == [36, 36]
        assert layer.entries.scales.shape == (2 * 9, 8, 2)


def test_a_window_that_holds_everything_is_the_full_cache(tiny):
    pair, ids = tiny(), tiny().prompt(40)
    full, found = pair.under("full", 1, ids), pair.under("kv_quant", 1, ids, newest=100)
    for token in (5, 6, 7):
        torch.testing.assert_close(found.read([token]), full.read([token]), rtol=0, atol=0)


@pytest.mark.parametrize(("bits", "most"), [(8, 2e-4), (4, 0.05), (2, 1.0)])
def test_logits_move_with_the_bits(tiny, bits, most):
    pair, ids = tiny(), tiny().prompt(60)
    full = pair.under("full", 1, ids).read([9]).log_softmax(-1)
    own = pair.under("kv_quant", 1, ids, bits=bits, group=8, newest=4).read([9]).log_softmax(-1)
    off = float((full.exp() * (full - own)).sum())
    assert 0 < off < most
