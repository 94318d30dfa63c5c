"""Statistics of rows of probabilities against their definitions, on both paths of a CPU."""

import os

import pytest
import torch

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.vocab_stats import draw, left_over, nearest_tokens, prob_stats


@pytest.fixture(params=["panels", "native"], autouse=True)
def path(request, monkeypatch):
    """Every test of this file runs on both paths of a CPU."""
    monkeypatch.setattr(paths, "_wished", request.param)
    found = paths.chosen()
    if request.param == "native" and found.library is None:
        assert "differs" not in found.reason, "it compiles, and its own trial refuses it"
        assert "CI" not in os.environ, found.reason
        pytest.skip(found.reason)


def rows(vocabulary: int, spread: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(vocabulary)
    p, q = (torch.randn(2, 3, vocabulary, generator=draw) * spread).softmax(-1)
    return p, q


@pytest.mark.parametrize("vocabulary", [1, 5, 17, 127, 129, 4001])
def test_prob_stats_equals_the_definitions(vocabulary):
    p, q = rows(vocabulary)
    found = prob_stats(p, 4, q)
    exact, other = p.double(), q.double()
    torch.testing.assert_close(
        found.entropy.double(), -(exact * exact.log()).sum(-1), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        found.crossed.double(), -(other * exact.log()).sum(-1), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        found.overlap.double(), torch.minimum(exact, other).sum(-1), rtol=1e-5, atol=1e-6
    )
    order = p.sort(descending=True, stable=True)
    assert torch.equal(found.top_ids, order.indices[:, :4])
    assert torch.equal(found.top_probs, order.values[:, :4])
    alone = prob_stats(p)
    assert torch.equal(alone.entropy, found.entropy)
    assert (alone.crossed, alone.overlap, alone.top_ids.shape) == (None, None, (3, 0))


@pytest.mark.parametrize("spread", [0.01, 40.0])
def test_logarithms_hold_from_the_flattest_to_the_sharpest(spread):
    p, q = rows(2000, spread)
    found = prob_stats(p, 0, q)
    exact = p.double()
    entropy = -torch.special.xlogy(exact, exact).sum(-1)
    torch.testing.assert_close(found.entropy.double(), entropy, rtol=1e-5, atol=1e-6)


def test_a_missing_token_makes_the_cross_entropy_infinite_and_nothing_else():
    p = torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    q = torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    found = prob_stats(p, 2, q)
    ln2 = float(torch.tensor(2.0).log())
    assert found.crossed.tolist() == pytest.approx([float("inf"), ln2, 0], abs=1e-6)
    assert found.overlap.tolist() == [0.75, 1, 1]
    assert found.entropy.tolist() == pytest.approx([ln2, ln2, 0], abs=1e-6)


def test_rows_of_a_wider_tensor_are_read_where_they_lie():
    p, q = rows(257)
    wide = torch.full((3, 600), 9.0)
    wide[:, 11:268] = p
    found, alone = prob_stats(wide[:, 11:268], 3, q), prob_stats(p, 3, q)
    assert torch.equal(found.entropy, alone.entropy)
    assert torch.equal(found.top_ids, alone.top_ids)
    turned = prob_stats(p.T.contiguous().T, 3, q)
    assert torch.equal(turned.crossed, alone.crossed)
    near = nearest_tokens(wide[:, 11:268], torch.tensor([1, 2, 3]), 4)
    assert torch.equal(near, nearest_tokens(p, torch.tensor([1, 2, 3]), 4))


def by_sorting(probs: list[float], token: int, count: int) -> list[int]:
    order = sorted(range(len(probs)), key=lambda key: (-probs[key], key))
    place = order.index(token)
    around = range(place - count, place + count + 1)
    return [order[at] if 0 <= at < len(order) else -1 for at in around]


@pytest.mark.parametrize("vocabulary", [1, 3, 40, 300])
@pytest.mark.parametrize("count", [0, 1, 7, 64])
def test_neighbours_are_those_of_the_sorted_vocabulary(vocabulary, count):
    draw = torch.Generator().manual_seed(count)
    few = torch.randint(0, 9, (6, vocabulary), generator=draw) / 8.0  # many equals, and zeros
    tokens = torch.randint(0, vocabulary, (6,), generator=draw)
    for probs in (few, torch.rand(6, vocabulary, generator=draw)):
        expected = [
            by_sorting(row, token, count)
            for row, token in zip(probs.tolist(), tokens.tolist(), strict=True)
        ]
        assert nearest_tokens(probs, tokens, count).tolist() == expected


@pytest.mark.parametrize("vocabulary", [23, 1025, 4001])
def test_draws_are_where_the_cumulated_row_passes_the_number(vocabulary):
    p, _ = rows(vocabulary, 2.0)
    p[0, :7], p[1, -9:], p[2] = 0, 0, 3 * p[2]  # no mass at an end; a sum that is not 1
    edges = p.double().cumsum(-1)
    for uniform in (*torch.rand(40, generator=torch.Generator().manual_seed(1)).tolist(), 0.0):
        found = draw(p, torch.full((3,), uniform, dtype=torch.double))
        for row, token in enumerate(found.tolist()):
            reach = uniform * float(edges[row, -1])
            assert p[row, token] > 0
            assert edges[row, token] > reach - 1e-5
            assert edges[row, token] - p[row, token] <= reach + 1e-5
    ends = draw(p, torch.full((3,), 1 - 2**-53, dtype=torch.double))
    assert ends.tolist() == [int(row.nonzero().max()) for row in p]


@pytest.mark.parametrize("vocabulary", [3, 1025, 4001])
def test_what_is_left_over_is_a_distribution_of_the_excess(vocabulary):
    p, q = rows(vocabulary)
    q[2] = p[2]  # nothing is left
    found, excess = left_over(p, q), (p.double() - q.double()).clamp_min(0)
    expected = excess[:2] / excess[:2].sum(-1, keepdim=True)
    torch.testing.assert_close(found[:2].double(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(found[2], p[2])
    assert not found[:2][excess[:2] == 0].any()
