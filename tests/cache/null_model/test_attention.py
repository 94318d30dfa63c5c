"""Attention without content, against its definition and exact moments."""

import math

import pytest
import torch

from tokenarium.backend.cache.null_model.attention import DRAWN_ROWS, NullAttention, can_make
from tokenarium.kernels.attention_stats import AttentionInput, Want, attention_stats

CPU = torch.device("cpu")


def drawn(heads: int, seed: int = 0) -> NullAttention:
    return NullAttention(heads, torch.Generator().manual_seed(seed), CPU)


def test_even_attention_is_that_of_queries_that_know_nothing() -> None:
    """Keys of zeros give every query the same logits, so the kernel's statistics are even."""
    want = Want(received=True, decay=(0.9, 1.0), last=5)
    q, k = torch.randn(4, 43, 8), torch.zeros(2, 43, 8)
    _, theirs = attention_stats(AttentionInput(q, k, k, scaling=1.0, offset=0), want)
    ours = NullAttention(4, None, CPU).stats(want, 43)
    for name in ("received", "decayed", "last"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
    assert NullAttention(4, None, CPU).stats(Want(), 43).received is None


def test_rows_see_what_is_before_and_add_up_to_one() -> None:
    for attention in (NullAttention(3, None, CPU), drawn(3)):
        [rows] = attention.rows(20, 6)
        assert (rows.start, rows.stop) == (0, 6)
        seen = torch.arange(20) <= torch.arange(14, 20)[:, None]
        torch.testing.assert_close(rows.weights.sum(-1), torch.ones(3, 6))
        assert ((rows.weights > 0) == seen).all()
        torch.testing.assert_close(rows.logits.softmax(-1), rows.weights)


def test_rows_of_a_long_prompt_come_in_parts(monkeypatch) -> None:
    monkeypatch.setattr("tokenarium.backend.cache.null_model.attention.ROW_WEIGHTS", 3 * 40 * 4)
    parts = list(drawn(3).rows(40, 10))
    assert [(part.start, part.stop) for part in parts] == [(0, 4), (4, 8), (8, 10)]
    assert (parts[2].weights[:, -1] > 0).all()
    assert (parts[2].weights[:, 0, 39] == 0).all()


def test_a_step_gives_weight_to_held_entries_alone() -> None:
    for attention in (NullAttention(4, None, CPU), drawn(4)):
        weights = attention.step([5, 2])
        assert weights.shape == (4, 1, 5)
        assert (weights[2:, :, 2:] == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(4, 1))
    even = NullAttention(4, None, CPU).step([5, 2])
    torch.testing.assert_close(even[2, 0, :2], torch.tensor([0.5, 0.5]))


def test_random_weights_are_those_of_a_flat_dirichlet() -> None:
    """Each weight of n is below 1 / n with probability 1 - (1 - 1 / n) ** (n - 1)."""
    weights = drawn(4000).step([7])[:, 0]
    assert weights.mean(0).tolist() == pytest.approx([1 / 7] * 7, abs=0.01)
    assert weights.var(0).tolist() == pytest.approx([6 / (49 * 8)] * 7, rel=0.15)
    below = (weights < 1 / 7).float().mean()
    assert below == pytest.approx(1 - (1 - 1 / 7) ** 6, abs=0.01)


def test_random_sums_have_the_moments_of_drawn_rows(monkeypatch) -> None:
    """Sums over early queries are drawn at once: as if each weight had been drawn."""
    want = Want(received=True, decay=(0.95,), last=4)
    one_by_one = drawn(3000).stats(want, 30)
    monkeypatch.setattr("tokenarium.backend.cache.null_model.attention.DRAWN_ROWS", 6)
    at_once = drawn(3000, 1).stats(want, 30)
    for name in ("received", "decayed", "last"):
        ours, theirs = getattr(at_once, name), getattr(one_by_one, name)
        error = theirs.std(0) / math.sqrt(3000)
        assert ((ours.mean(0) - theirs.mean(0)).abs() <= 6 * error + 1e-6).all(), name
        torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.12, atol=1e-4)
    assert DRAWN_ROWS > 30


def test_what_no_policy_asks_of_noise_is_said_not_to_be_made() -> None:
    assert can_make(Want())
    assert can_make(Want(received=True, decay=(0.5,), last=3))
    assert not can_make(Want(entropy=True))
    assert not can_make(Want(received=True, columns=(1,)))
