"""Accumulated attention, coverage and overlap, by definition and by hand."""

import itertools

import numpy as np
import pytest

from tests.ui.hand_made import FORGETTING, HEADS, LAYERS, trace, unfinished
from tokenarium.backend.analysis.heavy import (
    accumulated_chance,
    accumulated_mass,
    chance_overlap,
    chosen_mean,
    coverage,
    heaviest,
    held_by_heaviest,
    overlap,
    times_noise,
)


def test_accumulated_mass_of_a_factor_is_the_measured_one() -> None:
    result = trace(9)
    for number, factor in enumerate(FORGETTING):
        assert np.array_equal(accumulated_mass(result, factor), result.decayed_mass[:, :, number])


def test_accumulated_mass_without_forgetting_is_the_sum_over_queries() -> None:
    result = trace(9)
    found = accumulated_mass(result)
    for layer, head, key in itertools.product(range(LAYERS), range(HEADS), range(9)):
        wanted = float(result.received_mass[layer, head, key]) * (9 - key)
        assert found[layer, head, key] == pytest.approx(wanted, rel=1e-6)


def test_a_factor_that_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"factor=0\.5 was not measured, only 1\.0, 0\.99, 0\.9"):
        accumulated_mass(trace(9), 0.5)


def test_chosen_mean_is_of_a_head_a_layer_or_all() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(chosen_mean(values, 1, 2), values[1, 2])
    assert chosen_mean(values, 1) == pytest.approx((values[1, 0] + values[1, 1] + values[1, 2]) / 3)
    assert chosen_mean(values) == pytest.approx(sum(values[k // 3, k % 3] for k in range(6)) / 6)
    with pytest.raises(ValueError, match="head=2 has no layer"):
        chosen_mean(values, None, 2)


def test_means_leave_out_what_is_not_measured_yet() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    values[1] = np.nan
    assert chosen_mean(values) == pytest.approx(values[0].mean(0))
    assert np.isnan(chosen_mean(values, 1)).all()


def test_chance_is_of_a_layer_or_the_mean_of_all() -> None:
    result = trace(9, attention_window=np.int32([0, 3]))
    layers = [accumulated_chance(result, 1.0, layer) for layer in (0, 1)]
    assert layers[0][-1] == pytest.approx(1 / 9)
    assert layers[1][-1] == pytest.approx(1 / 3)
    assert accumulated_chance(result) == pytest.approx((layers[0] + layers[1]) / 2)


def test_times_noise_is_unknown_where_noise_has_vanished() -> None:
    found = times_noise(np.float32([1e-45, 2.0]), np.array([1e-45, 0.5]))
    assert np.isnan(found[0])
    assert found[1] == 4


def test_coverage_counts_the_heaviest_tokens() -> None:
    mass = np.float32([[1, 6, 1, 2], [1, 1, 1, 1], [0, 0, 0, 10]])
    assert coverage(mass).tolist() == [[0.25, 0.5, 0.75, 1.0], [0.5, 1, 1, 1], [0.25] * 4]
    assert held_by_heaviest(mass)[0] == pytest.approx([0.6, 0.8, 0.9, 1.0])


def test_coverage_of_the_whole_mass_never_exceeds_all_tokens() -> None:
    mass = np.random.default_rng(3).random((5, 1000), dtype=np.float32)
    found = coverage(mass, (0.5, 1.0))
    assert (found[:, 1] <= 1).all()
    assert (found[:, 1] > 0.99).all()
    for row, share in zip(mass, found[:, 0], strict=True):
        ordered = sorted(map(float, row), reverse=True)
        count = next(n for n in range(1, 1001) if sum(ordered[:n]) >= sum(ordered) / 2)
        assert share == count / 1000


def test_coverage_of_unknown_or_empty_mass_is_unknown() -> None:
    assert np.isnan(coverage(np.float32([[np.nan, 1], [0, 0]]))).all()
    assert coverage(accumulated_mass(unfinished(1))).shape == (LAYERS, HEADS, 4)
    with pytest.raises(ValueError, match="shares="):
        coverage(np.ones((1, 2)), (0.0,))


def test_heaviest_prefers_the_older_of_two_equals() -> None:
    mass = np.float32([[1, 2, 2, 2], [0, 0, 0, 1]])
    assert heaviest(mass, 2).tolist() == [[False, True, True, False], [True, False, False, True]]
    assert heaviest(mass, 99).all()
    ties = np.random.default_rng(0).integers(0, 3, (1, 1000)).astype(np.float32)
    wanted = sorted(range(1000), key=lambda n: (-ties[0, n], n))[:150]
    assert np.flatnonzero(heaviest(ties, 150)).tolist() == sorted(wanted)
    assert not heaviest(np.float32([[np.nan, 1]]), 1).any()
    with pytest.raises(ValueError, match="count=0"):
        heaviest(mass, 0)


def test_overlap_is_shared_over_either() -> None:
    mass = np.float32([[4, 3, 2, 1, 0], [4, 0, 3, 1, 2], [0, 0, 1, 2, 3], [np.nan] * 5])
    sets = [{0, 1}, {0, 2}, {3, 4}]
    found = overlap(mass, 2)
    for a, b in itertools.product(range(3), repeat=2):
        assert found[a, b] == pytest.approx(len(sets[a] & sets[b]) / len(sets[a] | sets[b]))
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()


@pytest.mark.parametrize(("length", "count"), [(1, 1), (4, 9), (6, 2), (7, 5), (8, 4)])
def test_chance_overlap_is_the_mean_over_all_pairs_of_sets(length: int, count: int) -> None:
    sets = [set(s) for s in itertools.combinations(range(length), min(count, length))]
    every = [len(a & b) / len(a | b) for a in sets for b in sets]
    assert chance_overlap(length, count) == pytest.approx(sum(every) / len(every), rel=1e-12)
