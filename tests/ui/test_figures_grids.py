"""Grids of layers and heads stay legible at every shape; figures are compared as data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure, Heatmap

from tests.ui.hand_made import trace
from tokenarium.backend import TraceResult, compare
from tokenarium.ui.figures.compare import difference_grid, side_by_side
from tokenarium.ui.figures.grids import LEAST_ROW, MOST_WRITTEN
from tokenarium.ui.figures.heads import METRICS, head_grid
from tokenarium.ui.figures.heavy import coverage_grid
from tokenarium.ui.figures.intervention import sink_change
from tokenarium.ui.figures.overlap import overlap_of_heads, overlap_of_layers
from tokenarium.ui.figures.sinks import sink_grid, sink_norms

SHAPES = [(30, 9), (18, 4), (80, 64), (2, 1), (1, 128)]
LENGTH = 24
GRIDS: dict[str, Callable[[TraceResult], Figure]] = {
    **{metric: lambda r, metric=metric: head_grid(r, metric) for metric in METRICS},
    "sinks": lambda r: sink_grid(r, 0.3, 16),
    "coverage": lambda r: coverage_grid(r, 0.9),
    "difference": lambda r: difference_grid(compare(r, r), "sink"),
    "both": lambda r: side_by_side(compare(r, r), "sink", "one", "other"),
    "intervention": lambda r: sink_change(r.sink_score, r.sink_score[::-1]),
}


def shaped(layers: int, heads: int) -> TraceResult:
    """Return a trace of so many layers and heads, of random attention."""
    chance = np.random.default_rng(layers)

    def some(*shape: int) -> Any:
        return chance.random((layers, heads, *shape), np.float32)

    return trace(
        LENGTH,
        received_mass=some(LENGTH),
        first_mass=some(LENGTH),
        decayed_mass=some(2, LENGTH),
        persistence=some(7),
        persistence_chance=some(7),
        sink_score=some(),
        learned_sink_mass=some(LENGTH),
        previous_mass=some(),
        self_mass=some(),
        attention_entropy_nats=some(LENGTH),
        attention_distance=300 * some(LENGTH),
        attention_window=np.zeros(layers, np.int32),
        residual_norm=1 + chance.random((layers + 1, LENGTH), np.float32),
        key_norm=1 + some(LENGTH)[:, :1],
        value_norm=1 + some(LENGTH)[:, :1],
    )


def rows_px(figure: Figure, rows: int) -> float:
    margin = figure.layout.margin
    return (figure.layout.height - margin.t - margin.b) / rows


@pytest.mark.parametrize(("layers", "heads"), SHAPES)
@pytest.mark.parametrize("name", GRIDS)
def test_grid_of_any_shape_is_legible(name: str, layers: int, heads: int) -> None:
    figure = GRIDS[name](shaped(layers, heads))
    maps = [part for part in figure.data if isinstance(part, Heatmap)]
    assert all(np.asarray(cells.z).shape == (layers, heads) for cells in maps)
    assert rows_px(figure, layers) >= LEAST_ROW
    for n in ("", *range(2, len(maps) + 1)):
        x, y = figure.layout[f"xaxis{n}"], figure.layout[f"yaxis{n}"]
        assert list(x.range) == [-0.5, heads - 0.5]
        assert list(y.range) == [layers - 0.5, -0.5]
        assert x.autorange is y.autorange is False
        assert {x.dtick, y.dtick} <= {1, 2, 5, 10}
        assert layers / y.dtick <= 12
    written = [cells.texttemplate is not None for cells in maps]
    assert written == [heads <= MOST_WRITTEN] * len(maps)
    if heads <= MOST_WRITTEN:
        longest = max(
            len(format(float(value), maps[0].texttemplate[4:-1]))
            for cells in maps
            for value in np.asarray(cells.z).ravel()
        )
        wanted = {"across": heads * len(maps), "characters": longest}
        assert figure.layout.meta["numbers"] == wanted


def test_height_grows_with_the_layers() -> None:
    heights = [head_grid(shaped(n, 4), "sink").layout.height for n in (2, 8, 18, 30, 60, 80, 126)]
    assert heights == sorted(heights)
    assert heights[1] < heights[2] < heights[-1]


@pytest.mark.parametrize(("layers", "heads"), SHAPES)
def test_a_mark_stays_within_its_cell_and_no_other(layers: int, heads: int) -> None:
    result = shaped(layers, heads)
    cells, marks = sink_grid(result, 0.5, LENGTH).data
    x, y = (np.asarray(side, float).reshape(-1, 6) for side in (marks.x, marks.y))
    assert np.isnan(x[:, 5]).all()
    corners = np.stack([x[:, :5], y[:, :5]])
    assert np.array_equal(corners[..., 0], corners[..., 4])
    middle = np.rint(corners.mean(-1, where=np.arange(5) < 4)).astype(int)
    scores = np.asarray(cells.z)
    assert sorted(zip(*middle[::-1], strict=True)) == [
        (layer, head) for layer, head in zip(*np.nonzero(scores > 0.5), strict=True)
    ]
    size = np.ptp(corners, axis=-1)
    assert (size > 0.85).all()
    assert (np.abs(corners - middle[..., None]) < 0.5).all()


@pytest.mark.parametrize(("layers", "heads"), SHAPES)
def test_maps_of_overlap_have_the_cells_there_are(layers: int, heads: int) -> None:
    result = shaped(layers, heads)
    for figure, count in (
        (overlap_of_heads(result, 0, 3), heads),
        (overlap_of_layers(result, 3), layers),
    ):
        assert np.asarray(figure.data[0].z).shape == (count, count)
        assert list(figure.layout.yaxis.range) == [count - 0.5, -0.5]
        assert rows_px(figure, count) >= LEAST_ROW


@pytest.mark.parametrize(("layers", "heads"), SHAPES)
def test_maps_of_norms_end_where_the_layers_do(layers: int, heads: int) -> None:
    layout = sink_norms(shaped(layers, heads), ()).layout
    assert list(layout.yaxis.range) == [layers + 0.5, -0.5]
    assert list(layout.yaxis3.range) == [layers - 0.5, -0.5]
    assert layout.yaxis.title.text == "residual<br>layer"
