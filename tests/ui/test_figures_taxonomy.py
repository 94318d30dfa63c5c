"""Heads as points, and two runs beside each other: data, clicks and marks."""

import json

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, LAYERS, numbered, trace, unfinished
from tokenarium.backend import (
    LABEL_RULES,
    MEASURES,
    HeadEvidence,
    TraceResult,
    compare,
    head_labels,
    head_measures,
)
from tokenarium.ui.figures.compare import difference_grid, side_by_side, switching_heads
from tokenarium.ui.figures.taxonomy import MARKS, head_scatter, readable_range


def points(figure: object) -> dict[tuple[int, int], tuple[float, float]]:
    return {
        tuple(place): (x, y)
        for trace_ in figure.data
        if trace_.customdata is not None
        for place, x, y in zip(trace_.customdata, trace_.x, trace_.y, strict=True)
    }


def parked(length: int, *heads: tuple[int, int]) -> TraceResult:
    mass = np.full((LAYERS, HEADS, length), 0.1, np.float32)
    for place in heads:
        mass[place] = 0.8
    return trace(length, first_mass=mass, sink_score=mass.mean(-1))


def test_every_head_is_a_point_at_its_two_measures() -> None:
    found = head_measures(HeadEvidence(parked(30, (0, 0), (1, 3))))
    figure = head_scatter(found, head_labels(found), "sink", "distance", 1, 3)
    drawn = points(figure)
    assert len(drawn) == LAYERS * HEADS
    for place, (x, y) in drawn.items():
        assert x == pytest.approx(found["sink"][place], rel=1e-6)
        assert y == pytest.approx(found["distance"][place], rel=1e-6)
    assert figure.layout.meta["point"] == ["layer", "head"]
    ring = figure.data[-1]
    assert (ring.x[0], ring.y[0]) == (found["sink"][1, 3], found["distance"][1, 3])


def test_kinds_of_heads_are_told_by_shape_and_colour() -> None:
    assert {rule.label for rule in LABEL_RULES} == set(MARKS)
    assert len({symbol for symbol, _ in MARKS.values()}) == len(MARKS)
    found = head_measures(HeadEvidence(parked(30, (0, 0), (1, 3))))
    figure = head_scatter(found, head_labels(found), "sink", "self", 0, 0)
    dormant = next(t for t in figure.data if t.name == "dormant (2)")
    assert dormant.customdata == ([0, 0], [1, 3])
    assert "sink score above the threshold" in dormant.hovertemplate.replace("<br>", " ")


def test_axes_go_from_the_lowest_there_can_be_as_far_as_the_values() -> None:
    assert readable_range(MEASURES["sink"], np.array([0.2, 0.5])) == pytest.approx([-0.025, 0.525])
    assert readable_range(MEASURES["distance"], np.array([3.0, np.nan])) == pytest.approx(
        [-0.15, 3.15]
    )
    lasting = readable_range(MEASURES["persistence"], np.array([-0.4, 0.6]))
    assert lasting == pytest.approx([-0.45, 0.65])
    assert readable_range(MEASURES["sink"], np.array([np.nan])) == pytest.approx([-0.005, 0.105])


def test_switching_heads_have_their_own_mark() -> None:
    comparison = compare(parked(30, (0, 0), (1, 2)), parked(40, (1, 2), (1, 3)))
    figure = switching_heads(comparison, "prose", "code")
    same, switch = figure.data
    assert switch.customdata == ([0, 0], [1, 3])
    assert switch.x == pytest.approx([0.8, 0.1])
    assert switch.y == pytest.approx([0.1, 0.8])
    assert len(same.x) == LAYERS * HEADS - 2
    assert same.marker.symbol != switch.marker.symbol
    assert same.marker.color != switch.marker.color
    assert figure.layout.meta["point"] == ["layer", "head"]
    assert list(figure.layout.xaxis.range) == list(figure.layout.yaxis.range)
    assert 0.8 < figure.layout.xaxis.range[1] < 0.9
    assert "2 switch at 0.3" in figure.layout.meta["label"]
    assert "first 30 tokens" in figure.layout.meta["label"]


def test_both_runs_share_one_scale() -> None:
    comparison = compare(trace(9), trace(9, attention_distance=numbered(LAYERS, HEADS, 9) + 50))
    figure = side_by_side(comparison, "distance", "a", "b")
    left, right = figure.data
    assert np.asarray(left.z) == pytest.approx(comparison.first["distance"])
    assert np.asarray(right.z) == pytest.approx(comparison.second["distance"])
    assert left.coloraxis == right.coloraxis == "coloraxis"
    assert figure.layout.coloraxis.cmin == 0
    assert figure.layout.coloraxis.cmax >= comparison.second["distance"].max()


def test_differences_are_on_a_scale_even_around_zero() -> None:
    second = trace(9, self_mass=trace(9).self_mass - 0.5)
    figure = difference_grid(compare(trace(9), second), "self")
    (cells,) = figure.data
    assert np.asarray(cells.z) == pytest.approx(np.full((LAYERS, HEADS), -0.5))
    assert (cells.zmin, cells.zmax) == pytest.approx((-0.5, 0.5))


@pytest.mark.parametrize("length", [1, 2, 17])
def test_short_and_unmeasured_results_draw(length: int) -> None:
    for result in (trace(length), unfinished(length)):
        found = head_measures(HeadEvidence(result))
        comparison = compare(result, trace(length))
        for figure in (
            head_scatter(found, head_labels(found), "sink", "persistence", 0, 0),
            switching_heads(comparison, "a", "b"),
            side_by_side(comparison, "entropy", "a", "b"),
            difference_grid(comparison, "drain"),
        ):
            assert json.loads(figure.to_json())["data"]


def test_a_thousand_heads_stay_small() -> None:
    values = {name: np.full((32, 32), 0.1, np.float32) for name in MEASURES}
    figure = head_scatter(values, head_labels(values), "sink", "self", 0, 0)
    assert len(figure.to_json()) < 400_000
