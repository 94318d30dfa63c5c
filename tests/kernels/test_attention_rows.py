"""Attention weights block by block against the whole matrix."""

import pytest
import torch

from tests.kernels.test_attention_stats import DETAILS, make
from tokenarium.kernels.attention_stats import attention_rows, naive


def gathered(q, k, *, block, **details):
    """All blocks of a text, their bounds checked, as logits and weights [H, T, S]."""
    blocks = list(attention_rows(q, k, scaling=0.25, block=block, **details))
    starts = [0, *(rows.stop for rows in blocks)]
    assert [rows.start for rows in blocks] == starts[:-1]
    assert starts[-1] == q.shape[1]
    assert all(rows.weights.shape[1] <= block for rows in blocks)
    return tuple(torch.cat([getattr(r, name) for r in blocks], 1) for name in ("logits", "weights"))


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
@pytest.mark.parametrize(("length", "block"), [(1, 128), (7, 3), (130, 64), (130, 1)])
def test_attention_rows_equal_the_whole_matrix(details, length, block):
    q, k, _ = make(4, 2, length, length)
    if "sinks" in details:
        details = {**details, "sinks": torch.linspace(-2, 3, 4)}
    _, weights = gathered(q, k, block=block, **details)
    expected = naive.attention_weights(q, k, scaling=0.25, **details)
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offset", [None, 30])
def test_attention_rows_of_queries_inside_a_longer_text(offset, dtype):
    q, k, _ = make(4, 1, 50, 100, dtype=dtype)
    details = {"offset": offset, "window": 20}
    _, weights = gathered(q, k, block=16, **details)
    expected = naive.attention_weights(q, k, scaling=0.25, **details)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)


def test_attention_rows_mask_is_added_to_the_logits():
    q, k, _ = make(2, 1, 40, 40)
    mask = torch.randn(2, 40, 40)
    logits, weights = gathered(q, k, block=7, mask=mask)
    torch.testing.assert_close(weights, naive.attention_weights(q, k, scaling=0.25, mask=mask))
    ahead = torch.ones(40, 40).triu(1).bool()
    assert logits[:, ahead].isneginf().all()
    torch.testing.assert_close(logits[:, ~ahead], (q @ k.mT * 0.25 + mask)[:, ~ahead])


def test_attention_rows_leave_the_inputs_and_other_blocks_alone():
    q, k, _ = make(2, 1, 20, 20)
    kept = q.clone(), k.clone()
    expected = naive.attention_weights(q, k, scaling=0.25)
    for rows in attention_rows(q, k, scaling=0.25, block=6):
        torch.testing.assert_close(rows.weights, expected[:, rows.start : rows.stop])
        rows.weights.zero_()
        rows.logits.zero_()
    assert torch.equal(q, kept[0])
    assert torch.equal(k, kept[1])


def test_attention_rows_refuse_what_does_not_fit_before_the_first_block():
    q, k, _ = make(4, 2, 8, 8)
    with pytest.raises(ValueError, match=r"block=0 is below 1"):
        attention_rows(q, k, scaling=1.0, block=0)
    with pytest.raises(ValueError, match=r"H a multiple of G"):
        attention_rows(q[:3], k, scaling=1.0)
