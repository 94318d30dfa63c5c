"""Attention weights block by block against the whole matrix."""

import pytest
import torch

from tests.kernels.test_attention_stats import DETAILS, make
from tokenarium.kernels.attention_stats import AttentionInput, attention_rows, naive


def gathered(attention, block):
    """All blocks of a text, their bounds checked, as logits and weights [H, T, S]."""
    blocks = list(attention_rows(attention, block))
    starts = [0, *(rows.stop for rows in blocks)]
    assert [rows.start for rows in blocks] == starts[:-1]
    assert starts[-1] == attention.query_count
    assert all(rows.weights.shape[1] <= block for rows in blocks)
    return tuple(torch.cat([getattr(r, name) for r in blocks], 1) for name in ("logits", "weights"))


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
@pytest.mark.parametrize(("length", "block"), [(1, 128), (7, 3), (130, 64), (130, 1)])
def test_attention_rows_equal_the_whole_matrix(details, length, block):
    if "sinks" in details:
        details = {**details, "sinks": torch.linspace(-2, 3, 4)}
    attention = AttentionInput(*make(4, 2, length, length), scaling=0.25, **details)
    _, weights = gathered(attention, block)
    expected = naive.attention_weights(attention)
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offset", [None, 30])
def test_attention_rows_of_queries_inside_a_longer_text(offset, dtype):
    tensors = make(4, 1, 50, 100, dtype=dtype)
    attention = AttentionInput(*tensors, scaling=0.25, offset=offset, window=20)
    _, weights = gathered(attention, 16)
    expected = naive.attention_weights(attention)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)


def test_attention_rows_mask_is_added_to_the_logits():
    q, k, v = make(2, 1, 40, 40)
    mask = torch.randn(2, 40, 40)
    attention = AttentionInput(q, k, v, scaling=0.25, mask=mask)
    logits, weights = gathered(attention, 7)
    torch.testing.assert_close(weights, naive.attention_weights(attention))
    ahead = torch.ones(40, 40).triu(1).bool()
    assert logits[:, ahead].isneginf().all()
    torch.testing.assert_close(logits[:, ~ahead], (q @ k.mT * 0.25 + mask)[:, ~ahead])


def test_attention_rows_leave_the_inputs_and_other_blocks_alone():
    q, k, v = make(2, 1, 20, 20)
    kept = q.clone(), k.clone()
    attention = AttentionInput(q, k, v, scaling=0.25)
    expected = naive.attention_weights(attention)
    for rows in attention_rows(attention, 6):
        torch.testing.assert_close(rows.weights, expected[:, rows.start : rows.stop])
        rows.weights.zero_()
        rows.logits.zero_()
    assert torch.equal(q, kept[0])
    assert torch.equal(k, kept[1])


def test_attention_rows_refuse_a_block_without_rows_before_the_first_block():
    attention = AttentionInput(*make(4, 2, 8, 8), scaling=1.0)
    with pytest.raises(ValueError, match=r"block=0 is below 1"):
        attention_rows(attention, 0)
