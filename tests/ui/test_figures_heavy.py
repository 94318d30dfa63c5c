"""Heavy-hitter figures hold the numbers of the analysis, at any length."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure

from tests.ui.hand_made import HEADS, LAYERS, trace, unfinished
from tokenarium.backend import (
    ClassMass,
    TraceResult,
    accumulated_chance,
    accumulated_mass,
    chance_overlap,
    coverage,
    mass_by_class,
    overlap,
    token_classes,
)
from tokenarium.ui.figures.classes import class_bars
from tokenarium.ui.figures.heavy import accumulated, coverage_curves, coverage_grid, persistence
from tokenarium.ui.figures.overlap import overlap_of_heads, overlap_of_layers
from tokenarium.ui.figures.token_lines import MOST_POINTS, drawn_positions, pooling_note

EVERY: dict[str, Callable[[TraceResult], Figure]] = {
    "accumulated": lambda r: accumulated(r, 1, 2),
    "forgetting": lambda r: accumulated(r, 1, 2, 0.9),
    "curves": lambda r: coverage_curves(r, 1, 2),
    "grid": lambda r: coverage_grid(r, 0.8),
    "persistence": lambda r: persistence(r, 1, 2),
    "heads": lambda r: overlap_of_heads(r, 1, 3),
    "layers": lambda r: overlap_of_layers(r, 3, 0.9),
    "classes": lambda r: class_bars(
        mass_by_class(r.received_mass[0, 0], accumulated_chance(r), token_classes(r))
    ),
}


@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_accumulated_shows_head_layer_all_and_chance(small: TraceResult, factor: float) -> None:
    mass = accumulated_mass(small, factor)
    chance, everywhere, layer, head = accumulated(small, 1, 2, factor).data
    assert head.y == pytest.approx(mass[1, 2])
    assert layer.y == pytest.approx(sum(mass[1, h] for h in range(HEADS)) / HEADS)
    assert everywhere.y == pytest.approx(mass.reshape(8, -1).mean(0))
    assert chance.y == pytest.approx(accumulated_chance(small, factor, 1))
    assert list(head.x) == [0, 1, 2, 3, 4]


def test_curves_say_how_much_the_heaviest_tokens_hold(small: TraceResult) -> None:
    head = coverage_curves(small, 1, 2).data[3]
    mass = sorted(map(float, accumulated_mass(small)[1, 2]), reverse=True)
    assert list(head.customdata) == [1, 2, 3, 4, 5]
    assert head.x == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert head.y == pytest.approx([sum(mass[:n]) / sum(mass) for n in range(1, 6)])


def test_coverage_grid_shows_its_share(small: TraceResult) -> None:
    values = coverage(accumulated_mass(small), (0.8,))[..., 0]
    assert np.asarray(coverage_grid(small, 0.8).data[0].z) == pytest.approx(values)


def test_persistence_shows_chance_beside_it(long: TraceResult) -> None:
    chance, layer, head = persistence(long, 1, 2).data
    assert np.array_equal(head.y, long.persistence[1, 2])
    assert np.array_equal(chance.y, long.persistence_chance[1, 2])
    assert layer.y == pytest.approx(long.persistence[1].mean(0))
    runs = [[i for i in range(130) if i * 8 // 130 == run] for run in range(1, 8)]
    assert list(head.customdata) == [f"queries {run[0]} to {run[-1]}" for run in runs]


def test_overlap_of_heads_and_layers(long: TraceResult) -> None:
    mass = accumulated_mass(long)
    heads, layers = overlap_of_heads(long, 1, 9), overlap_of_layers(long, 9)
    assert np.asarray(heads.data[0].z) == pytest.approx(overlap(mass[1], 9))
    assert np.asarray(layers.data[0].z) == pytest.approx(overlap(mass.mean(1), 9))
    assert np.asarray(layers.data[0].z).shape == (LAYERS, LAYERS)
    assert f"{chance_overlap(130, 9):.3f}" in heads.data[0].colorbar.title.text
    assert (heads.layout.meta["x"], layers.layout.meta["x"]) == ("head", "layer")


def test_class_bars_show_ratio_interval_and_count() -> None:
    nan = float("nan")
    classes = (
        ClassMass("first", 1, 0.1, 0.5, 5.0, nan, nan),
        ClassMass("content", 20, 0.9, 0.5, 0.5, 0.25, 1.0),
    )
    bars, intervals = class_bars(classes).data
    assert list(bars.y) == [5.0, 0.5]
    assert list(bars.x) == ["first<br>1 token", "content<br>20 tokens"]
    assert (list(intervals.x), list(intervals.y)) == (["content<br>20 tokens"], [0.5])
    assert list(intervals.error_y.array) == [0.5]
    assert list(intervals.error_y.arrayminus) == [0.25]
    assert "interval" not in bars.customdata[0]
    assert "0.25 to 1.00" in bars.customdata[1]


@given(length=st.integers(1, 9000), seed=st.integers(0, 9))
def test_a_line_goes_through_the_highest_and_lowest_token(length: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=length).astype(np.float32)
    values[0] = np.nan
    at = drawn_positions(values)
    assert len(at) <= MOST_POINTS
    assert (np.diff(at) > 0).all()
    assert 0 <= at[0] <= at[-1] < length
    if length > 1:
        assert {int(np.nanargmax(values)), int(np.nanargmin(values))} <= set(at.tolist())
    if length > MOST_POINTS:
        assert np.isfinite(values[at]).all()
    assert (pooling_note(length) == "") == (len(at) == length)


@pytest.fixture(scope="module")
def longest() -> TraceResult:
    return trace(32_768)


@pytest.mark.parametrize("name", EVERY)
def test_figures_of_the_longest_text_stay_small(longest: TraceResult, name: str) -> None:
    assert len(EVERY[name](longest).to_json()) < 400_000


def test_a_pooled_line_says_so(longest: TraceResult) -> None:
    figure = accumulated(longest, 1, 2)
    assert "lowest and highest of every 64 tokens" in figure.layout.meta["label"]
    assert "every 64 tokens" in figure.layout.xaxis.title.text


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("length", [1, 2, 5, 130])
def test_short_and_unmeasured_results_draw(name: str, length: int) -> None:
    for result in (trace(length), unfinished(length)):
        figure = EVERY[name](result)
        assert "data" in json.loads(figure.to_json())
        assert figure.layout.meta["label"]


@pytest.mark.parametrize("name", EVERY)
def test_hostile_tokens_are_text(name: str) -> None:
    result = trace(5, token_text=("<b>%{y}</b>",) * 5)
    assert "<b>" not in json.dumps(json.loads(EVERY[name](result).to_json()))
