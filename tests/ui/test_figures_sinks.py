"""Sink figures hold the numbers of the analysis."""

import json
from itertools import pairwise

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, LAYERS, numbered, trace, unfinished
from tokenarium.backend import TraceResult, find_sinks, sink_scores
from tokenarium.ui.figures.sinks import MOST_MARKS, extremes, sink_grid, sink_layers, sink_norms

POOLED = 32_768


def parked(length: int, *places: tuple[int, int, int]) -> TraceResult:
    mass = np.full((LAYERS, HEADS, length), 0.01, np.float32)
    for place in places:
        mass[place] = 0.7
    return trace(length, received_mass=mass)


def test_grid_shows_scores_and_marks_those_above_the_threshold() -> None:
    first = np.full((LAYERS, HEADS, 9), 0.1, np.float32)
    first[1, 2] = 0.8
    result = trace(9, first_mass=first)
    figure = sink_grid(result, 0.3, 5)
    cells, marks = figure.data
    assert np.array_equal(np.asarray(cells.z), sink_scores(result, 5))
    assert (round(np.nanmean(marks.x)), round(np.nanmean(marks.y))) == (2, 1)
    assert (figure.layout.meta["x"], figure.layout.meta["y"]) == ("head", "layer")
    assert "1 of 8 heads (12%) above 0.3 over the first 5 tokens" in figure.layout.meta["label"]


def test_layers_show_their_sink_rate() -> None:
    first = np.full((LAYERS, HEADS, 9), 0.1, np.float32)
    first[1, :3] = 0.8
    figure = sink_layers(trace(9, first_mass=first), 0.3, 64)
    assert list(figure.data[0].y) == [0, 0.75]
    assert list(figure.data[0].customdata) == ["0 of 4", "3 of 4"]
    assert figure.layout.meta["x"] == "layer"


def test_norms_are_ratios_to_the_median_and_sinks_are_marked() -> None:
    result = parked(40, (1, 2, 17))
    figure = sink_norms(result, find_sinks(result))
    residual, key, value, marks = figure.data
    ratio = result.residual_norm / np.median(result.residual_norm, -1, keepdims=True)
    assert 10 ** np.asarray(residual.z) == pytest.approx(ratio, rel=1e-4)
    assert np.asarray(residual.z).shape == (LAYERS + 1, 40)
    for cells, norms in ((key, result.key_norm), (value, result.value_norm)):
        ratio = (norms / np.median(norms, -1, keepdims=True)).mean(1)
        assert 10 ** np.asarray(cells.z) == pytest.approx(ratio, rel=1e-4)
    assert list(residual.x) == [n - 0.5 for n in range(41)]
    assert list(marks.x) == [17]
    assert "17 “ w17”" in marks.customdata[0]
    assert (figure.layout.meta["x"], figure.layout.meta["y"]) == ("token", "layer")


@pytest.mark.parametrize(("length", "columns"), [(1, 4), (7, 7), (10, 4), (1000, 512)])
def test_extremes_keep_what_is_furthest_from_zero(length: int, columns: int) -> None:
    values = np.random.default_rng(length).normal(size=(3, length))
    edges, cells = extremes(values, columns)
    assert (edges[0], edges[-1]) == (0, length)
    for row in range(3):
        for run, (a, b) in enumerate(pairwise(edges)):
            wanted = max(values[row, a:b], key=abs)
            assert cells[row, run] == wanted


def test_extremes_pass_over_what_is_not_known() -> None:
    values = np.array([[np.nan, -2.0, np.nan, np.nan]])
    assert np.array_equal(extremes(values, 2)[1], [[-2.0, np.nan]], equal_nan=True)


def test_a_long_deep_trace_stays_small() -> None:
    layers = 32
    deep = trace(
        POOLED,
        residual_norm=numbered(layers + 1, POOLED),
        key_norm=numbered(layers, 1, POOLED),
        value_norm=numbered(layers, 1, POOLED),
    )
    mass = np.zeros((LAYERS, HEADS, POOLED), np.float32)
    mass[0, 0, :500] = np.linspace(0.85, 0.95, 500)
    sinks = find_sinks(trace(POOLED, received_mass=mass), 0.8)
    figure = sink_norms(deep, sinks)
    assert sorted(figure.data[3].x) == list(range(500 - MOST_MARKS, 500))
    assert f"the strongest {MOST_MARKS} of 500 sinks" in figure.layout.meta["label"]
    assert len(figure.to_json()) < 400_000


@pytest.mark.parametrize("length", [1, 5, 60])
def test_nothing_measured_still_draws(length: int) -> None:
    result = unfinished(length)
    for figure in (
        sink_grid(result, 0.3, 64),
        sink_layers(result, 0.3, 64),
        sink_norms(result, ()),
    ):
        assert json.loads(figure.to_json())["data"]


def test_hostile_tokens_are_text() -> None:
    hostile = "<b>%{y}</b>"
    result = trace(
        40, token_text=(hostile,) * 40, received_mass=parked(40, (0, 0, 3)).received_mass
    )
    figure = sink_norms(result, find_sinks(result))
    assert "<b>" not in json.dumps(json.loads(figure.to_json()))
