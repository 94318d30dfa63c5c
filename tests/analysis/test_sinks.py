"""Sinks of hand-made traces, of which every number is known."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.ui.hand_made import GROUPS, HEADS, LAYERS, trace, unfinished
from tokenarium.backend import TraceResult
from tokenarium.backend.analysis.sinks import find_sinks, seen_mass, sink_rate, sink_scores

LENGTH = 40


def quiet(**changes: object) -> TraceResult:
    """A trace in which no token stands out, unless ``changes`` say so."""
    flat = np.full((LAYERS, HEADS, LENGTH), 0.01, np.float32)
    plain = trace(
        LENGTH,
        received_mass=flat,
        value_norm=np.full((LAYERS, GROUPS, LENGTH), 2, np.float32),
        key_norm=np.full((LAYERS, GROUPS, LENGTH), 4, np.float32),
        residual_norm=np.full((LAYERS + 1, LENGTH), 8, np.float32),
        residual_median=np.full((LAYERS + 1, LENGTH), 0.05, np.float32),
    )
    return dataclasses.replace(plain, **changes)


def with_mass(*masses: tuple[int, int, int, float]) -> np.ndarray:
    mass = quiet().received_mass.copy()
    for layer, head, position, value in masses:
        mass[layer, head, position] = value
    return mass


@pytest.mark.parametrize("length", [1, 7, 64])
def test_sink_score_is_the_mean_of_the_first_queries(length: int) -> None:
    result = trace(30)
    found = sink_scores(result, length)
    for layer, head in itertools.product(range(LAYERS), range(HEADS)):
        rows = [float(result.first_mass[layer, head, i]) for i in range(min(length, 30))]
        assert found[layer, head] == pytest.approx(sum(rows) / len(rows), rel=1e-6)


def test_sink_rate_counts_measured_heads_above_the_threshold() -> None:
    scores = np.float32([[0.3, 0.31], [0.9, np.nan]])
    assert sink_rate(scores, 0.3) == pytest.approx(2 / 3)
    assert sink_rate(scores, 0.95) == 0
    assert np.isnan(sink_rate(np.full((2, 2), np.nan)))


def test_every_column_above_the_threshold_is_a_sink() -> None:
    mass = with_mass((0, 1, 0, 0.4), (1, 3, 0, 0.8), (1, 2, 17, 0.5), (0, 0, 20, 0.3))
    sinks = find_sinks(quiet(received_mass=mass))
    assert [sink.position for sink in sinks] == [0, 17]
    first, inside = sinks
    assert first.heads == ((1, 3), (0, 1))
    assert (first.layer, first.head, first.score) == (1, 3, pytest.approx(0.8))
    assert first.token_class == "first"
    assert (first.queries, inside.queries) == (40, 23)
    assert (inside.heads, inside.token_class) == (((1, 2),), "content")
    assert len(find_sinks(quiet(received_mass=mass), 0.25)) == 3


def test_late_tokens_are_no_sinks_for_lack_of_queries() -> None:
    mass = with_mass((0, 0, LENGTH - 17, 0.9), (0, 0, LENGTH - 16, 0.9), (0, 0, LENGTH - 1, 0.9))
    result = quiet(received_mass=mass)
    assert [sink.position for sink in find_sinks(result)] == [LENGTH - 17]
    assert [s.position for s in find_sinks(result, later=0)] == [LENGTH - k for k in (17, 16, 1)]
    assert find_sinks(result, later=LENGTH) == ()


def test_a_sink_carries_the_norms_of_its_strongest_head() -> None:
    value, key = quiet().value_norm.copy(), quiet().key_norm.copy()
    residual = quiet().residual_norm.copy()
    value[1, 1, 17], key[1, 1, 17], residual[1, 17] = 0.5, 6, 80
    value[1, 0, 17] = 99  # head 2 of 4 reads KV head 1 of 2, not this one
    sink = find_sinks(
        quiet(
            received_mass=with_mass((1, 2, 17, 0.5)),
            value_norm=value,
            key_norm=key,
            residual_norm=residual,
        )
    )[0]
    assert (sink.value_ratio, sink.key_ratio) == (0.25, 1.5)
    assert (sink.residual_ratio, sink.residual_layer) == (10, 1)


@pytest.mark.parametrize(
    ("median", "massive"), [(0.05, [True, False, True]), (0.11, [True, False, False])]
)
def test_massive_dimensions_need_both_size_and_ratio(median: float, massive: list[bool]) -> None:
    values = np.zeros((LAYERS + 1, LENGTH, 3), np.float32)
    residual, medians = quiet().residual_norm.copy(), quiet().residual_median.copy()
    residual[2, 17], medians[2, 17] = 80, median
    values[2, 17] = -120, 90, 101  # 90 is 1,800 times 0.05, and 101 only 918 times 0.11
    sink = find_sinks(
        quiet(
            received_mass=with_mass((0, 0, 17, 0.5)),
            residual_norm=residual,
            residual_median=medians,
            residual_top_values=values,
        )
    )[0]
    assert [d.massive for d in sink.dimensions] == massive
    assert [d.dim for d in sink.dimensions] == [7, 3, 5]
    assert [d.layer for d in sink.dimensions] == [2, 2, 2]
    assert sink.dimensions[0].times_median == pytest.approx(120 / median)


def test_a_window_counts_only_the_queries_that_see_the_key() -> None:
    # Each of the 4 queries that see key 10 gives it 0.6; 30 queries could be counted.
    mass = with_mass((1, 0, 10, 4 * 0.6 / 30))
    result = quiet(received_mass=mass, attention_window=np.int32([0, 4]))
    assert seen_mass(result)[1, 0, 10] == pytest.approx(0.6)
    assert np.array_equal(seen_mass(result)[0], mass[0])
    assert [(sink.position, sink.queries) for sink in find_sinks(result)] == [(10, 4)]


@pytest.mark.parametrize("length", [1, 5, 60])
def test_nothing_measured_has_no_sinks(length: int) -> None:
    result = unfinished(length)
    assert find_sinks(result, later=0) == ()
    assert np.isnan(sink_rate(sink_scores(result)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: sink_scores(r, 0), "length=0"),
        (lambda r: find_sinks(r, 0.0), r"threshold=0.0 is not within \(0, 1\)"),
        (lambda r: find_sinks(r, 1.0), "threshold=1.0"),
        (lambda r: find_sinks(r, 0.3, -1), "later=-1"),
    ],
)
def test_values_out_of_range_are_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(trace(5))


def test_only_the_strongest_sinks_are_kept_in_order_of_position() -> None:
    received = np.full((1, 1, 40), 0.4, np.float32)
    received[0, 0, [3, 9, 20]] = 0.9, 0.7, 0.8
    result = trace(40, received_mass=np.tile(received, (2, 4, 1)))
    assert [sink.position for sink in find_sinks(result, 0.3, most=2)] == [3, 20]
    assert len(find_sinks(result, 0.3)) == 24
