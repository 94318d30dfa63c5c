"""Figures of a heartbeat and of an intervention, from plain arrays."""

import json

import numpy as np
import pytest

from tokenarium.ui.figures.heartbeat import heartbeat_gaps, heartbeat_raster
from tokenarium.ui.figures.intervention import divergence, in_text, sink_change, surprisal_change

NAN = float("nan")
WORDS = ("a", "b", "c", "d")


def test_raster_shows_per_cent_rounded_up_and_tells_cells_without_pairs() -> None:
    raster = np.array([[0.25, NAN], [0.001, 1.0]])
    figure = heartbeat_raster(raster, np.int32([0, 2, 4]), np.int32([0, 2, 5]), 1, 2, "A > 0.1")
    (cells,) = figure.data
    assert np.asarray(cells.z).tolist() == [[25, -1], [1, 100]]
    assert list(cells.x) == [-0.5, 1.5, 4.5]
    assert list(cells.y) == [-0.5, 1.5, 3.5]
    assert (figure.layout.meta["x"], figure.layout.meta["y"]) == ("token", "query")
    assert "up to 2 x 3" not in figure.layout.meta["label"]
    assert "up to 3 x 3 pairs" in figure.layout.meta["label"]


def test_only_cells_without_pairs_are_bare() -> None:
    raster = np.array([[0.0]])
    scale = heartbeat_raster(raster, [0, 1], [0, 1], 0, 0, "A > 0.1").data[0].colorscale
    bare = [place for place, colour in scale if colour == "rgba(0,0,0,0)"]
    coloured = [place for place, colour in scale if colour != "rgba(0,0,0,0)"]
    # The scale runs from -1 to 100 %, so that 0 % stands at 1/101.
    assert max(bare) == min(coloured) == pytest.approx(1 / 101)


def test_the_finest_raster_stays_small() -> None:
    raster = np.random.default_rng(0).random((512, 512))
    edges = np.arange(513) * 64
    assert len(heartbeat_raster(raster, edges, edges, 0, 0, "A > 0.1").to_json()) < 400_000


def test_gaps_leave_out_tokens_that_were_never_activated_again() -> None:
    figure = heartbeat_gaps(np.int32([3, 0, 7, 1]), WORDS, "A > 0.1")
    assert np.array_equal(figure.data[0].y, np.float32([3, NAN, 7, 1]), equal_nan=True)
    assert list(figure.data[0].customdata) == list(WORDS)


def test_changed_values_stand_at_the_tokens_they_are_about() -> None:
    placed = in_text(np.float32([9, 1, 2]), np.int32([-1, 1, 3]), 4)
    assert np.array_equal(placed, np.float32([NAN, 1, NAN, 2]), equal_nan=True)


def test_surprisal_before_after_and_between() -> None:
    plain = np.float32([NAN, 1, 2, 3])
    figure = surprisal_change(plain, np.float32([NAN, 5, 7]), np.int32([1, 2, 3]), WORDS)
    before, after, between = figure.data
    assert np.array_equal(before.y, plain, equal_nan=True)
    assert np.array_equal(after.y, np.float32([NAN, NAN, 5, 7]), equal_nan=True)
    assert np.array_equal(between.y, np.float32([NAN, NAN, 3, 4]), equal_nan=True)
    assert figure.layout.meta["x"] == "token"


def test_divergence_stands_at_the_tokens_of_the_text() -> None:
    figure = divergence(np.float32([0.5, 0.25]), np.int32([2, 3]), WORDS)
    assert np.array_equal(figure.data[0].y, np.float32([NAN, NAN, 0.5, 0.25]), equal_nan=True)


def test_sink_change_is_changed_less_plain() -> None:
    figure = sink_change(np.float32([[0.5, 0.1]]), np.float32([[0.2, 0.2]]))
    (cells,) = figure.data
    assert np.asarray(cells.z) == pytest.approx(np.array([[-0.3, 0.1]]), abs=1e-6)
    assert (cells.zmin, cells.zmax) == pytest.approx((-0.3, 0.3))
    assert (figure.layout.meta["x"], figure.layout.meta["y"]) == ("head", "layer")


def test_long_runs_stay_small() -> None:
    length = 32_768
    values, aligned = np.random.default_rng(0).random(length), np.arange(length)
    words = ("<b>%{y}",) * length
    for figure in (
        surprisal_change(values, values, aligned, words),
        divergence(values, aligned, words),
        heartbeat_gaps(values, words, "A > 0.1"),
    ):
        assert len(figure.to_json()) < 400_000
        assert "<b>" not in json.dumps(json.loads(figure.to_json()))


def test_one_token_and_nothing_known_draw() -> None:
    nothing, one = np.float32([NAN]), ("a",)
    for figure in (
        surprisal_change(nothing, nothing, np.int32([-1]), one),
        divergence(nothing, np.int32([-1]), one),
        sink_change(np.full((1, 1), NAN), np.full((1, 1), NAN)),
        heartbeat_gaps(np.int32([0]), one, "A > 0.1"),
        heartbeat_raster(np.full((1, 1), NAN), [0, 1], [0, 1], 0, 0, "A > 0.1"),
    ):
        assert json.loads(figure.to_json())["data"]
