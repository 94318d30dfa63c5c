"""Baselines equal the same statistic on a uniform matrix, and the mean over random ones."""

import numpy as np
import pytest

from tests.ui.hand_made import trace
from tokenarium.backend.analysis.noise import (
    accumulated_noise,
    accumulated_noise_by_layer,
    distance_noise,
    entropy_noise,
    received_noise,
    received_noise_by_layer,
    seen_keys,
)


def visible(length: int, window: int) -> np.ndarray:
    behind = np.arange(length)[:, None] - np.arange(length)
    return (behind >= 0) & (behind < (window or length))


def uniform(length: int, window: int) -> np.ndarray:
    seen = visible(length, window)
    return seen / seen.sum(1, keepdims=True)


CASES = [(1, 0), (2, 0), (13, 0), (13, 1), (13, 5), (13, 40)]


@pytest.mark.parametrize(("length", "window"), CASES)
@pytest.mark.parametrize("factor", [1.0, 0.9, 0.3])
def test_accumulated_equals_the_sum_over_a_uniform_matrix(
    length: int, window: int, factor: float
) -> None:
    decay = factor ** np.arange(length - 1, -1, -1)
    wanted = (decay[:, None] * uniform(length, window)).sum(0)
    assert accumulated_noise(length, window, factor) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("length", "window"), CASES)
def test_rows_and_received_equal_those_of_a_uniform_matrix(length: int, window: int) -> None:
    weights = uniform(length, window)
    behind = np.arange(length)[:, None] - np.arange(length)
    received = [weights[j:, j].mean() for j in range(length)]
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(1)
    assert received_noise(length, window) == pytest.approx(received, rel=1e-12)
    assert distance_noise(length, window) == pytest.approx((weights * behind).sum(1), abs=1e-12)
    assert entropy_noise(length, window) == pytest.approx(entropy, abs=1e-12)
    assert seen_keys(length, window).tolist() == visible(length, window).sum(1).tolist()


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("factor", [1.0, 0.8])
def test_random_attention_accumulates_the_baseline_on_average(window: int, factor: float) -> None:
    length, draws = 12, 3000
    logits = np.random.default_rng(7).normal(0, 2, (draws, length, length))
    weights = np.exp(logits) * visible(length, window)
    weights /= weights.sum(-1, keepdims=True)
    mass = (factor ** np.arange(length - 1, -1, -1)[:, None] * weights).sum(1)
    error = mass.std(0, ddof=1) / draws**0.5
    off = np.abs(mass.mean(0) - accumulated_noise(length, window, factor))
    assert (off <= 4 * error + 1e-12).all()
    assert (error < 0.02).all()  # else the comparison would say nothing
    entropy = -(weights * np.log(weights, where=weights > 0, out=np.zeros_like(weights))).sum(-1)
    assert (entropy <= entropy_noise(length, window) + 1e-9).all()


def test_old_keys_keep_their_digits_where_everything_is_forgotten() -> None:
    length, window, factor = 4096, 64, 0.9
    found = accumulated_noise(length, window, factor)
    key = 1000
    wanted = sum(factor ** (length - 1 - i) / window for i in range(key, key + window))
    assert found[key] == pytest.approx(wanted, rel=1e-9)
    assert wanted < 1e-100


def test_layers_have_their_own_windows() -> None:
    result = trace(9, attention_window=np.int32([0, 3]))
    for window, row, mean in zip(
        (0, 3),
        accumulated_noise_by_layer(result, 0.9),
        received_noise_by_layer(result),
        strict=True,
    ):
        assert row == pytest.approx(accumulated_noise(9, window, 0.9))
        assert mean == pytest.approx(received_noise(9, window))


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.01, float("nan")])
def test_a_factor_outside_its_range_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"factor=.* is not within \(0, 1\]"):
        accumulated_noise(4, 0, factor)


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window=-1"):
        seen_keys(4, -1)
