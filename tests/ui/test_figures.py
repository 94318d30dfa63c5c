"""Figures hold the numbers of the result: data is compared, not pixels."""

import base64
import dataclasses
import json
from collections.abc import Callable

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects as go
from plotly.graph_objects import Figure

from tests.ui.hand_made import HEADS, LAYERS, trace, unfinished
from tokenarium.backend import RegionResult, TraceResult
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.figures.attention import attention_map, region_map, tile_edges
from tokenarium.ui.figures.heads import METRICS, head_grid, head_values
from tokenarium.ui.figures.lens import WIDTH, lens_window, logit_lens
from tokenarium.ui.figures.lines import RUNNING, norms, predictability, received, running_mean
from tokenarium.ui.figures.style import caption

EVERY: dict[str, Callable[[TraceResult], Figure | None]] = {
    "grid": lambda r: head_grid(r, "sink"),
    "map": lambda r: attention_map(r, 1, 2),
    "received": lambda r: received(r, 1, 2),
    "predictability": predictability,
    "lens": lambda r: logit_lens(r, 0),
    "norms": lambda r: norms(r, 1, 2),
}
SELECTABLE = {"token", "query", "layer", "head"}


@pytest.fixture(scope="module")
def longest() -> TraceResult:
    """A text of 32,768 tokens with the finest map there is, longer than the trained context."""
    return trace(32_768, tiles=256)


@pytest.mark.parametrize("metric", METRICS)
def test_grid_shows_the_metric_of_every_head(small: TraceResult, metric: str) -> None:
    small = dataclasses.replace(small, learned_sink_mass=1 - small.first_mass)
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
    assert list(figure.layout.yaxis.range) == [LAYERS - 0.5, -0.5]


def test_predictability_moves_entropy_by_one_token(small: TraceResult) -> None:
    surprisal, entropy = predictability(small).data
    assert np.array_equal(surprisal.y, small.surprisal_nats, equal_nan=True)
    assert np.isnan(entropy.y[0])
    assert np.array_equal(entropy.y[1:], small.entropy_nats[:-1])
    assert list(entropy.x) == [0, 1, 2, 3, 4]


def test_a_running_mean_is_of_the_last_tokens() -> None:
    values = np.float32([np.nan, 1, 2, 3, 6])
    np.testing.assert_allclose(running_mean(values, 2), [np.nan, 1, 1.5, 2.5, 4.5])


def test_a_long_text_shows_its_mean_surprisal() -> None:
    assert len(predictability(trace(2 * RUNNING - 1)).data) == 2
    drawn = predictability(trace(2 * RUNNING)).data[2]
    assert f"mean surprisal of {RUNNING} tokens" in drawn.name


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
    names = attention_map(small, 0, 0).layout.meta["names"]
    assert (names["rows"][3], names["columns"][1]) == ("3 “ w3”", "1 “ w1”")
    edges = tile_edges(130, 64)
    first = f"{edges[0]} to {edges[1] - 1}"
    names = attention_map(long, 0, 0).layout.meta["names"]
    assert (names["rows"][0], names["columns"][0]) == (first, first)
    assert len(names["rows"]) == len(names["columns"]) == 64


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
    everywhere, layer, head, _ = received(small, 1, 2).data
    assert np.array_equal(head.y, small.received_mass[1, 2])
    assert layer.y == pytest.approx(sum(small.received_mass[1, h] for h in range(HEADS)) / HEADS)
    assert everywhere.y[3] == pytest.approx(
        sum(small.received_mass[n, h, 3] for n in range(LAYERS) for h in range(HEADS)) / 8
    )


@pytest.mark.parametrize(("window", "noise"), [(0, 137 / 300), (2, (1 + 1 / 2) / 5)])
def test_received_shows_what_even_looks_would_give(window: int, noise: float) -> None:
    result = trace(5, attention_window=np.int32([0, window]))
    line = received(result, 1, 2).data[3]
    # Five rows of uniform attention: 1 + 1/2 + 1/3 + 1/4 + 1/5 = 137 / 60 on the first key.
    assert line.y[0] == pytest.approx(noise)
    assert line.y[4] == pytest.approx(1 / min(5, window or 5))


@pytest.mark.parametrize("name", ["received", "predictability", "norms"])
def test_lines_show_where_the_trained_context_ends(name: str) -> None:
    beyond, within = (EVERY[name](trace(130, context=context)) for context in (100, 130))
    assert beyond is not None
    assert within is not None
    assert {shape.x0 for shape in beyond.layout.shapes} == {99.5}
    assert "up to token 99 only" in beyond.layout.meta["label"]
    assert not within.layout.shapes
    assert "trained" not in within.layout.meta["label"]


@pytest.mark.parametrize("name", EVERY)
def test_a_figure_of_the_longest_text_is_small(longest: TraceResult, name: str) -> None:
    figure = EVERY[name](longest)
    assert figure is not None
    # As it travels: a text inside JSON.
    assert len(orjson.dumps(figure_json(figure))) < 400_000


def test_a_map_of_many_cells_is_sent_in_steps_that_hover_cannot_tell(
    longest: TraceResult,
) -> None:
    sent = json.loads(figure_json(attention_map(longest, 1, 2)))
    steps = sent["layout"]["meta"]["steps"]
    raw = np.frombuffer(base64.b64decode(sent["data"][0]["z"]["bdata"]), "<u2")
    read = np.where(raw == 0, np.nan, steps["low"] + steps["step"] * (raw - 1.0)).reshape(256, 256)
    field = longest.attention_tiles_mean[1, 2]
    assert read == pytest.approx(field, abs=0.51 * steps["step"], nan_ok=True)
    assert steps["step"] < np.nanmax(field) / 60_000


@pytest.mark.parametrize("value", [0.0, 0.25, np.nan])
def test_a_map_of_one_number_survives_the_steps(value: float) -> None:
    maps = np.full((LAYERS, HEADS, 256, 256), value, np.float32)
    result = trace(300, tiles=256, attention_tiles_mean=maps)
    sent = json.loads(figure_json(attention_map(result, 0, 0)))
    raw = np.frombuffer(base64.b64decode(sent["data"][0]["z"]["bdata"]), "<u2")
    steps = sent["layout"]["meta"]["steps"]
    read = np.where(raw == 0, np.nan, steps["low"] + steps["step"] * (raw - 1.0))
    assert np.array_equal(read, np.full(256 * 256, value), equal_nan=True)


@pytest.mark.parametrize(("kinds", "dtype"), [(2, "u1"), (255, "u1"), (256, "f4")])
def test_a_map_of_few_whole_numbers_is_sent_in_bytes(kinds: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    field = (rng.integers(0, kinds, (40, 40)) - 3).astype(np.float32)
    field[0, :2] = -3, kinds - 4
    field[1, 1] = np.nan
    sent = json.loads(figure_json(go.Figure(go.Heatmap(z=field, x=np.arange(41) - 0.5))))
    (heat,) = sent["data"]
    assert (heat["z"]["dtype"], heat["x"]["dtype"]) == (dtype, "f4")
    raw = np.frombuffer(base64.b64decode(heat["z"]["bdata"]), dtype).reshape(40, 40)
    if dtype == "u1":
        steps = sent["layout"]["meta"]["steps"]
        raw = np.where(raw == 0, np.nan, steps["low"] + steps["step"] * (raw - 1.0))
    assert np.array_equal(raw, field, equal_nan=True)


def test_texts_that_lines_share_are_sent_once() -> None:
    lines = [
        go.Scatter(x=[0, 1], y=[0, 1], customdata=words)
        for words in (["a", "b"], ["a", "b"], ["a", "c"])
    ]
    sent = json.loads(figure_json(go.Figure(lines)))
    assert [line["customdata"] for line in sent["data"]] == [["a", "b"], True, ["a", "c"]]
    assert sent["layout"]["meta"]["alike"]
    alone = json.loads(figure_json(go.Figure(lines[1:])))
    assert [line["customdata"] for line in alone["data"]] == [["a", "b"], ["a", "c"]]
    assert "meta" not in alone["layout"]


def test_a_small_map_is_sent_as_it_is(long: TraceResult) -> None:
    sent = json.loads(figure_json(attention_map(long, 1, 2)))
    assert "steps" not in sent["layout"]["meta"]
    assert sent["data"][0]["z"]["dtype"] == "f4"


@pytest.mark.parametrize("name", ["received", "predictability", "norms"])
def test_a_pooled_line_says_so_and_keeps_every_peak(longest: TraceResult, name: str) -> None:
    figure = EVERY[name](longest)
    assert figure is not None
    assert "of every 64 tokens" in figure.layout.meta["label"]
    shown = figure.data[0]
    whole = {
        "received": longest.received_mass.mean((0, 1)),
        "predictability": longest.surprisal_nats,
        "norms": longest.residual_norm[2],
    }[name]
    assert len(shown.x) <= 1024
    assert np.array_equal(shown.y, whole[np.asarray(shown.x)], equal_nan=True)
    assert np.nanmax(shown.y) == np.nanmax(whole)
    assert np.nanmin(shown.y) == np.nanmin(whole)


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
