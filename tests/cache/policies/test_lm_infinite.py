"""LM-Infinite against full matrices with its mask."""

import pytest
import torch

from tests.cache.policies.twin import PROMPT, TOKENS, check_same, kept_live
from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.lm_infinite import LMInfinite


def distances(length):
    place = torch.arange(length)
    return place[:, None] - place, place


def lambda_mask(first, last, cap=None):
    """An edit with the mask, and with the logits at ``cap`` for what is farther."""

    def edit(module, weights, q, k):
        distance, place = distances(weights.shape[1])
        seen = (distance >= 0) & ((distance < last) | (place < first))
        logits = q @ k.mT * module.scaling
        if cap is not None:
            nearer = rotated(k, (distance - cap).clamp(min=0))  # [H, T, T, D]
            logits = torch.einsum("hid,hijd->hij", q, nearer) * module.scaling
        return logits.masked_fill(~seen, float("-inf")).softmax(-1)

    return edit


def rotated(k, by):
    """Keys [H, T, D] moved on by [T, T] positions, as a Llama with base 10000 places them."""
    half = k.shape[-1] // 2
    angle = by[..., None] * 10000.0 ** (-torch.arange(half) / half)
    a, b = k[:, None, :, :half], k[:, None, :, half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def live_log_p(loaded, policy, budget):
    sequence = CachedSequence(loaded, policy, budget)
    parts = (TOKENS[:PROMPT], *([token] for token in TOKENS[PROMPT:]))
    return torch.stack([sequence.read(ids).log_softmax(-1) for ids in parts])


@pytest.mark.parametrize(
    ("budget", "first", "positions", "largest"),
    [(12, 3, "original", 0), (12, 3, "capped", 0), (9, 4, "capped", 7), (12, 3, "capped", 4)],
)
@pytest.mark.parametrize("block", [256, 16])
def test_prompt_and_steps_equal_one_pass_under_the_mask(
    twins, monkeypatch, budget, first, positions, largest, block
):
    loaded, model = twins("llama")
    monkeypatch.setattr("tokenarium.backend.observe.lambda_mask.BLOCK", block)
    policy = LMInfinite(first=first, positions=positions, largest=largest)
    edit = lambda_mask(first, budget + 1 - first, largest or None)
    expected = torch.from_numpy(oracle.run(model, TOKENS, edit).log_p[PROMPT - 1 :])
    found = live_log_p(loaded, policy, budget).double()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_prompt_past_the_cap_is_capped_though_it_fits_the_window(twins):
    loaded, model = twins("llama")
    policy = LMInfinite(first=2, largest=9)
    edit = lambda_mask(0, 1000, 9)
    expected = torch.from_numpy(oracle.run(model, TOKENS, edit).log_p[PROMPT - 1 :])
    found = live_log_p(loaded, policy, 200).double()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_with_everything_in_the_window_equals_full(twins):
    loaded, _ = twins("llama")
    found = live_log_p(loaded, LMInfinite(first=3), len(TOKENS))
    assert torch.equal(found, live_log_p(loaded, Full(), len(TOKENS)))


def test_keeps_the_first_and_the_newest(twins):
    loaded, _ = twins("llama")
    for length, step in enumerate(kept_live(loaded, LMInfinite(first=3), 8), PROMPT):
        wanted = [0, 1, 2, *range(length - 5, length)]
        assert all(head == wanted for layer in step for head in layer)


def test_learned_positions_cannot_be_capped_but_masked(twins):
    loaded, model = twins("gpt2")
    with pytest.raises(ValueError, match="rotation"):
        CachedSequence(loaded, LMInfinite(), 12)
    policy = LMInfinite(first=3, positions="original")
    found = live_log_p(loaded, policy, 12).double()
    expected = torch.from_numpy(oracle.run(model, TOKENS, gpt2_mask).log_p[PROMPT - 1 :])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def gpt2_mask(module, weights, q, k):
    distance, place = distances(weights.shape[1])
    weights = weights * ((distance < 10) | (place < 3))
    return weights / weights.sum(-1, keepdim=True)


def test_smallest_budget_holds_the_first_and_one():
    assert LMInfinite(first=10).smallest_budget() == 11


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, _ = twins("llama")
    expected = ([[[0, 1, 2, *range(end - 9, end)]] * 2] * 3 for end in range(PROMPT, PROMPT + 4))
    check_same(kept_live(loaded, LMInfinite(first=3), 12), expected)


def test_lm_infinite_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
