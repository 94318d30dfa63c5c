"""Figures hold the numbers of the result: data is compared, not pixels."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure

from backend import RegionResult, TraceResult
from tests.ui.hand_made import HEADS, LAYERS, trace, unfinished
from ui.figures.attention import attention_map, region_map, tile_edges
from ui.figures.heads import METRICS, head_grid, head_values
from ui.figures.lens import WIDTH, lens_window, logit_lens
from ui.figures.lines import norms, predictability, received
from ui.figures.style import caption

EVERY: dict[str, Callable[[TraceResult], Figure | None]] = {
    "grid": lambda r: head_grid(r, "sink"),
    "map": lambda r: attention_map(r, 1, 2),
    "received": lambda r: received(r, 1, 2),
    "predictability": predictability,
    "lens": lambda r: logit_lens(r, 0),
    "norms": lambda r: norms(r, 1, 2),
}
SELECTABLE = {"token", "query", "layer", "head"}


@pytest.mark.parametrize("metric", METRICS)
def test_grid_shows_the_metric_of_every_head(small: TraceResult, metric: str) -> None:
    field = getattr(small, METRICS[metric].field)
    values = np.asarray(head_grid(small, metric).data[0].z)
    assert values.shape == (LAYERS, HEADS)
    for layer in range(LAYERS):
        for head in range(HEADS):
            wanted = field[layer, head] if field.ndim == 2 else field[layer, head].mean()
            assert values[layer, head] == pytest.approx(wanted, rel=1e-6)


def test_grid_of_sinks_is_the_sink_score_itself(small: TraceResult) -> None:
    assert np.array_equal(np.asarray(head_grid(small, "sink").data[0].z), small.sink_score)
    assert head_values(small, "sink") is small.sink_score


def test_grid_says_what_a_click_selects(small: TraceResult) -> None:
    figure = head_grid(small, "sink")
    assert (figure.layout.meta["x"], figure.layout.meta["y"]) == ("head", "layer")
    assert figure.layout.yaxis.autorange == "reversed"


def test_predictability_moves_entropy_by_one_token(small: TraceResult) -> None:
    surprisal, entropy = predictability(small).data
    assert np.array_equal(surprisal.y, small.surprisal_nats, equal_nan=True)
    assert np.isnan(entropy.y[0])
    assert np.array_equal(entropy.y[1:], small.entropy_nats[:-1])
    assert list(entropy.x) == [0, 1, 2, 3, 4]


@given(length=st.integers(1, 300), tiles=st.integers(1, 128))
def test_tile_edges_agree_with_the_definition(length: int, tiles: int) -> None:
    g = min(length, tiles)
    edges = tile_edges(length, tiles)
    assert len(edges) == g + 1
    of_position = np.searchsorted(edges, np.arange(length), side="right") - 1
    assert of_position.tolist() == [i * g // length for i in range(length)]


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_map_shows_the_tiles_of_the_chosen_head(long: TraceResult, pooling: str) -> None:
    heat = attention_map(long, 1, 2, pooling).data[0]
    field = long.attention_tiles_max if pooling == "max" else long.attention_tiles_mean
    assert np.array_equal(np.asarray(heat.z), field[1, 2], equal_nan=True)
    assert np.array_equal(np.asarray(heat.x) + 0.5, tile_edges(130, 64))
    assert np.array_equal(np.asarray(heat.y) + 0.5, tile_edges(130, 64))


def test_map_names_a_cell_by_token_or_by_range(small: TraceResult, long: TraceResult) -> None:
    assert attention_map(small, 0, 0).data[0].customdata[3][1] == "from 3 “ w3”<br>to 1 “ w1”"
    edges = tile_edges(130, 64)
    first = f"{edges[0]} to {edges[1] - 1}"
    assert attention_map(long, 0, 0).data[0].customdata[0][0] == f"from {first}<br>to {first}"


def test_map_of_one_token_draws() -> None:
    heat = attention_map(trace(1), 0, 0).data[0]
    assert np.asarray(heat.z).shape == (1, 1)
    assert list(heat.x) == [-0.5, 0.5]


def test_region_shows_its_own_rectangle(long: TraceResult) -> None:
    region = RegionResult(
        mean=np.float32([[0.5, np.nan], [0.25, 0.125]]),
        highest=np.float32([[0.75, np.nan], [0.5, 0.25]]),
        query_edges=np.int32([10, 12, 14]),
        key_edges=np.int32([11, 12, 14]),
        source="kept queries and keys",
    )
    figure = region_map(region, long, 1, 2, "max")
    assert np.array_equal(np.asarray(figure.data[0].z), region.highest, equal_nan=True)
    assert list(figure.data[0].x) == [10.5, 11.5, 13.5]
    assert list(figure.data[0].y) == [9.5, 11.5, 13.5]
    assert list(figure.layout.xaxis.range) == [10.5, 13.5]
    assert list(figure.layout.yaxis.range) == [13.5, 9.5]


def test_received_shows_head_layer_and_all(small: TraceResult) -> None:
    everywhere, layer, head = received(small, 1, 2).data
    assert np.array_equal(head.y, small.received_mass[1, 2])
    assert layer.y == pytest.approx(sum(small.received_mass[1, h] for h in range(HEADS)) / HEADS)
    assert everywhere.y[3] == pytest.approx(
        sum(small.received_mass[n, h, 3] for n in range(LAYERS) for h in range(HEADS)) / 8
    )


@pytest.mark.parametrize(("head", "group"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_norms_take_the_key_value_head_that_the_head_reads(
    small: TraceResult, head: int, group: int
) -> None:
    residual, key, value = norms(small, 1, head).data
    assert np.array_equal(residual.y, small.residual_norm[2])
    assert np.array_equal(key.y, small.key_norm[1, group])
    assert np.array_equal(value.y, small.value_norm[1, group])
    assert f"KV head {group}" in key.name


@given(length=st.integers(1, 200), token=st.integers(0, 199))
def test_lens_window_holds_the_token(length: int, token: int) -> None:
    token = min(token, length - 1)
    start, stop = lens_window(_of_length(length), token)
    assert 0 <= start <= token < stop <= length
    assert stop - start == min(length, WIDTH)


def test_lens_shows_every_layer_of_its_window(long: TraceResult) -> None:
    heat = logit_lens(long, 65).data[0]
    start, stop = lens_window(long, 65)
    assert np.array_equal(np.asarray(heat.z), long.lens_kl_nats[:, start:stop])
    assert list(heat.x) == list(range(start, stop))
    assert heat.text[2][0] == f"L2t{start}"
    assert np.asarray(heat.z).shape[0] == LAYERS + 1


def test_lens_that_was_not_asked_for_is_no_figure() -> None:
    assert logit_lens(trace(5, lens=False), 0) is None


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("length", [1, 5, 130])
def test_a_figure_draws_before_anything_is_measured(name: str, length: int) -> None:
    figure = EVERY[name](unfinished(length))
    assert figure is not None
    assert json.loads(figure.to_json())["data"]


@pytest.mark.parametrize("name", EVERY)
def test_axes_select_what_the_selection_has(small: TraceResult, name: str) -> None:
    figure = EVERY[name](small)
    assert figure is not None
    meta = figure.layout.meta
    assert {meta[side] for side in ("x", "y") if side in meta} <= SELECTABLE
    assert meta["x"] in SELECTABLE
    assert meta["label"]
    assert getattr(figure.layout, meta.get("mainx", "xaxis")) is not None
    assert meta["name"].isascii()
    assert "/" not in meta["name"]


@pytest.mark.parametrize("name", EVERY)
def test_hostile_tokens_are_text_in_every_figure(name: str) -> None:
    hostile = "<b>%{y}</b>"
    words = (hostile,) * 5
    result = trace(5, token_text=words, lens_text=(words,) * (LAYERS + 1))
    figure = EVERY[name](result)
    assert figure is not None
    # Read and written again: Plotly escapes signs in its JSON that a browser then sees.
    assert "<b>" not in json.dumps(json.loads(figure.to_json()))


def test_caption_is_kept_with_the_figure(small: TraceResult) -> None:
    figure = caption(head_grid(small, "sink"), "run r")
    assert figure.layout.meta["caption"] == "run r"
    assert figure.layout.meta["x"] == "head"


def _of_length(length: int) -> TraceResult:
    return trace(5, token_ids=np.zeros(length, np.int32))
