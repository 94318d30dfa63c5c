"""Distributions as transformers' own processors make them, and tokens sampled from them."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.speculation.strategies import distributions
from tokenarium.backend.speculation.distribution import (
    Processors,
    acceptance_ratio,
    prob_of,
    residual,
    sample,
    sample_one,
    without,
)

SETTINGS = [
    {"temperature": 0.7},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.5, "top_p": 0.8},
    {"temperature": 1.0, "top_p": 0.05},
    {"temperature": 0.8, "min_p": 0.1},
    {"temperature": 1.0, "repetition_penalty": 1.3},
    {"temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.1},
]


def theirs(processors: Processors, path: list[int], logits: torch.Tensor) -> torch.Tensor:
    """The distribution after transformers' processors, in the order of its ``generate``."""
    steps = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(processors.repetition_penalty)])
    steps.append(TemperatureLogitsWarper(processors.temperature))
    if processors.top_k:
        steps.append(TopKLogitsWarper(processors.top_k))
    if processors.top_p < 1:
        steps.append(TopPLogitsWarper(processors.top_p))
    if processors.min_p:
        steps.append(MinPLogitsWarper(processors.min_p))
    return steps(torch.tensor([path]), logits.clone()[None]).softmax(-1)[0]


@pytest.mark.parametrize("named", SETTINGS, ids=str)
def test_law_equals_transformers(named):
    processors = Processors(**named)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 200, generator=generator) * 3
    paths = [torch.randint(200, (row + 1,), generator=generator).tolist() for row in range(6)]
    found = processors.probs(logits, paths)
    expected = torch.stack(
        [theirs(processors, path, row) for path, row in zip(paths, logits, strict=True)]
    )
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(processors.soft_probs(logits, paths), found, atol=0, rtol=0)


def test_top_p_keeps_lower_ids_of_equals():
    """The only difference: transformers cuts equals in whatever order its sort leaves them."""
    found = Processors(temperature=1.0, top_p=0.5).probs(torch.zeros(1, 40))
    assert (found[0] > 0).nonzero()[:, 0].tolist() == list(range(20))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_top_p_keeps_the_likeliest_of_a_large_vocabulary(share):
    """Sharp ones, of which few tokens are sorted, flat ones, of which all are, and one of ties."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3000, generator=generator) * torch.tensor([[6.0], [2.0], [0.1], [0.0]])
    logits[1] = logits[1].round()
    probs = logits.softmax(-1)
    found = Processors(temperature=1.0, top_p=share).probs(logits)
    for row, kept in zip(probs.double().numpy(), (found > 0).numpy(), strict=True):
        order = np.argsort(-row, kind="stable")
        count = int((np.cumsum(row[order]) - row[order] < share).sum())
        assert abs(int(kept.sum()) - count) <= 1  # sums are of float32 there
        assert kept[order[: count - 1]].all()
        assert not kept[order[count + 1 :]].any()


def test_top_k_keeps_all_that_equal_the_last():
    logits = torch.tensor([[3.0, 1.0, 1.0, 0.0]])
    found = Processors(temperature=1.0, top_k=2).probs(logits)
    assert (found[0] > 0).tolist() == [True, True, True, False]


def test_temperature_zero_takes_the_likeliest_and_drafts_at_one():
    logits = torch.tensor([[0.0, 2.0, 2.0, -1.0]])
    processors = Processors(temperature=0.0)
    assert processors.probs(logits).tolist() == [[0, 1, 0, 0]]
    torch.testing.assert_close(processors.soft_probs(logits), logits.softmax(-1))


def test_penalty_reads_each_rows_own_path():
    logits = torch.tensor([[2.0, -2.0, 0.5]] * 2)
    found = Processors(temperature=1.0, repetition_penalty=2.0).probs(logits, [[0], [1, 1]])
    expected = torch.tensor([[1.0, -2.0, 0.5], [2.0, -4.0, 0.5]]).softmax(-1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("vocabulary", [1, 7, 1024, 1025, 1280, 3001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_drawn_inverts_the_cumulated_law(vocabulary, dtype):
    rng = np.random.default_rng(vocabulary)
    masses = rng.exponential(size=(5, vocabulary)) * (rng.random((5, vocabulary)) < 0.7)
    masses[:, -1] += 0.1
    probs = torch.from_numpy(masses).to(dtype)
    exact = probs.double().numpy()
    edges = np.concatenate([np.zeros((5, 1)), exact.cumsum(-1)], -1) / exact.sum(-1, keepdims=True)
    just_below = (edges[0, 1:20] - 2e-5).clip(0)
    for uniform in [0.0, *rng.random(20), *just_below, 1 - 2**-53]:
        tokens = sample(probs, torch.full((5,), uniform, dtype=torch.double)).numpy()
        rows = np.arange(5)
        assert (exact[rows, tokens] > 0).all()
        assert (edges[rows, tokens] <= uniform + 1e-6).all()
        assert (uniform <= edges[rows, tokens + 1] + 1e-6).all()


@settings(max_examples=100, deadline=None)
@given(distributions(6), st.floats(0, 1, exclude_max=True))
def test_drawn_never_takes_what_has_no_mass(probs, uniform):
    for scale in (1, 1e-30):
        assert probs[sample_one(probs * scale, uniform)] > 0
    wide = torch.zeros(2000, dtype=torch.float64)
    wide[300:306] = probs
    assert wide[sample_one(wide, uniform)] > 0


def test_drawn_takes_tokens_as_often_as_their_law_says():
    probs = torch.rand(1, 2000, generator=torch.Generator().manual_seed(0)) ** 8
    count = 200_000
    even = (torch.arange(count, dtype=torch.double) + 0.5) / count
    tokens = sample(probs.expand(count // 10, -1), even[::10])
    share = torch.bincount(tokens, minlength=2000) / (count // 10)
    torch.testing.assert_close(share, probs[0] / probs.sum(), atol=1.1e-4, rtol=0)


@settings(max_examples=100, deadline=None)
@given(distributions(5), distributions(5), st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_what_is_left_is_a_law_within_the_targets(target, draft, tokens):
    left = residual(target[None], draft[None])[0]
    assert float(left.sum()) == pytest.approx(1, abs=1e-12)
    assert not left[target == 0].any()
    if not torch.equal(target, draft):
        assert not left[(target <= draft) & (target > 0)].any()
    else:
        assert torch.equal(left, target)
    rest = without(target[None], torch.tensor([tokens]))[0]
    assert float(rest.sum()) == pytest.approx(1, abs=1e-12)
    others = [token for token in range(5) if token not in tokens]
    if target[others].any():
        assert not rest[tokens].any()


def test_ratio_is_never_nan():
    found = acceptance_ratio(
        torch.tensor([0.0, 0.0, 0.2, 0.2, 0.1]), torch.tensor([0.0, 0.5, 0.0, 0.1, 0.4])
    )
    assert found.tolist() == [0, 0, 1, 1, 0.25]
    assert prob_of(torch.eye(3), torch.tensor([0, 2, 2])).tolist() == [1, 0, 1]
    assert not math.isnan(float(found.sum()))
