"""Vocabulary statistics against their definitions."""

import dataclasses
import math
import os

import pytest
import torch

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.vocab_stats import VocabStats, naive, reference, vocab_stats


@pytest.fixture(params=["panels", "native"], autouse=True)
def path(request, monkeypatch):
    """Every test of this file runs on both paths of a CPU."""
    monkeypatch.setattr(paths, "_wished", request.param)
    found = paths.chosen()
    if request.param == "native" and found.library is None:
        assert "differs" not in found.reason, "it compiles, and its own trial refuses it"
        assert "CI" not in os.environ, found.reason
        pytest.skip(found.reason)


def compare(logits, targets, other, top_k, tolerance=1e-5):
    before = vocab_stats(other, keep_probs=True)
    found = vocab_stats(
        logits, targets=targets, top_k=top_k, varentropy=True, other=before, keep_probs=True
    )
    expected = naive.vocab_stats(logits, targets=targets, top_k=top_k, other=other)
    for field in dataclasses.fields(VocabStats):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if theirs.is_floating_point():
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
        else:
            assert torch.equal(ours, theirs), field.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "vocabulary", "top_k"), [(1, 5, 5), (7, 97, 10), (33, 4001, 1)])
def test_vocab_stats_equals_the_definitions(rows, vocabulary, top_k, dtype):
    draw = torch.Generator().manual_seed(rows)
    logits, other = (torch.randn(rows, vocabulary, generator=draw) * 4 for _ in range(2))
    targets = torch.randint(vocabulary, (rows,), generator=draw)
    compare(logits.to(dtype), targets, other.to(dtype), top_k)


def test_vocab_stats_breaks_ties_by_id():
    logits = torch.tensor(
        [[0.0] * 6, [1.0, 3.0, 3.0, -2.0, 3.0, 1.0], [-0.0, 0.0, -0.0, -1.0, 0.0, -1.0]]
    )
    targets = torch.tensor([4, 4, 5])
    found = vocab_stats(logits, targets=targets, top_k=4)
    assert found.rank.tolist() == [4, 2, 5]
    assert found.top_ids.tolist() == [[0, 1, 2, 3], [1, 2, 4, 0], [0, 1, 2, 4]]
    negative = vocab_stats(torch.tensor([[-1.0, -3.0, -1.0, -2.0, -3.0]]), top_k=4)
    assert negative.top_ids.tolist() == [[0, 2, 3, 1]]
    assert vocab_stats(logits, top_k=1).top_ids.tolist() == [[0], [1], [0]]


def test_vocab_stats_by_hand():
    probs = torch.tensor([[0.5, 0.25, 0.25]])
    found = vocab_stats(probs.log() + 40, targets=torch.tensor([2]), top_k=2, varentropy=True)
    ln2 = torch.tensor(2.0).log()
    torch.testing.assert_close(found.logsumexp, torch.tensor([40.0]))
    torch.testing.assert_close(found.entropy[0], 1.5 * ln2, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.varentropy[0], 0.25 * ln2**2, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.surprisal[0], 2 * ln2, rtol=1e-5, atol=1e-5)
    assert found.rank.item() == 2
    torch.testing.assert_close(found.top_probs, probs[:, :2], rtol=1e-5, atol=1e-5)
    assert found.kl is None
    assert found.probs is None


def test_vocab_stats_forbidden_tokens_have_no_probability():
    logits = torch.tensor([[1.0, float("-inf"), 0.0]])
    found = vocab_stats(
        logits, targets=torch.tensor([1]), top_k=2, varentropy=True, keep_probs=True
    )
    expected = torch.tensor([1.0, 0.0]).softmax(-1)
    torch.testing.assert_close(found.entropy[0], torch.special.entr(expected).sum())
    assert found.varentropy.isfinite().all()
    assert found.surprisal.item() == float("inf")
    assert found.probs[0, 1] == 0


def test_vocab_stats_divergence_from_itself_is_not_negative():
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(0)) * 5
    found = vocab_stats(logits + 7.3, other=vocab_stats(logits, keep_probs=True))
    assert (found.kl >= 0).all()
    assert (found.kl < 1e-5).all()


def test_vocab_stats_refuses_what_it_cannot_do():
    logits = torch.zeros(2, 5)
    with pytest.raises(ValueError, match="top_k=6 is not between 0 and the vocabulary's 5"):
        vocab_stats(logits, top_k=6)
    with pytest.raises(ValueError, match="keep_probs=True"):
        vocab_stats(logits, other=vocab_stats(logits))


def test_vocab_stats_in_blocks_equals_all_rows_at_once(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    logits, others = torch.randn(2, 23, 97, generator=draw) * 4
    targets = torch.randint(97, (23,), generator=draw)

    def found(most):
        monkeypatch.setattr(reference, "BLOCK_LOGITS", most)
        other = reference.vocab_stats(others, None, 0, False, None, keep_probs=True)
        return reference.vocab_stats(logits, targets, 5, True, other, keep_probs=True)

    whole, blocks = found(1 << 30), found(4 * 97)
    for field in dataclasses.fields(whole):
        torch.testing.assert_close(getattr(blocks, field.name), getattr(whole, field.name))


def test_vocab_stats_of_rows_that_are_no_block_of_memory():
    draw = torch.Generator().manual_seed(3)
    wide, other = (torch.randn(9, 300, generator=draw) * 4 for _ in range(2))
    for logits in (wide[::2, 5:202], wide.T[5:205].T[:5], wide[:1].expand(5, 300)):
        before = other[:5, : logits.shape[1]]
        targets = torch.arange(5) * 40
        compare(logits, targets, before, 6)


def test_vocab_stats_of_a_row_without_meaning_are_not_numbers():
    logits = torch.zeros(4, 200)
    logits[1, 190] = math.nan
    logits[2] = -math.inf
    logits[3, 7] = math.inf
    found = vocab_stats(logits, varentropy=True, keep_probs=True)
    for values in (found.entropy, found.varentropy, found.logsumexp):
        assert values.isfinite().tolist() == [True, False, False, False]
    torch.testing.assert_close(found.entropy[0], torch.tensor(200.0).log())


def test_vocab_stats_of_one_row_do_not_depend_on_the_others():
    logits = torch.randn(40, 7001, generator=torch.Generator().manual_seed(5)) * 6
    whole = vocab_stats(logits, top_k=3, varentropy=True)
    for row in (0, 19, 20, 39):
        alone = vocab_stats(logits[row : row + 1], top_k=3, varentropy=True)
        torch.testing.assert_close(whole.rows([row]).varentropy, alone.varentropy)
        torch.testing.assert_close(whole.rows([row]).entropy, alone.entropy)
        assert torch.equal(whole.rows([row]).top_ids, alone.top_ids)
