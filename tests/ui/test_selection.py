"""A browser may say anything; a selection is whole numbers that fit the run."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.hand_made import HEADS, LAYERS, trace, unfinished
from tokenarium.backend import TraceResult
from tokenarium.ui.components.selection import Selection, selection_value

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TOLD = st.dictionaries(st.sampled_from(["run", "token", "query", "layer", "head", "x"]), ANYTHING)


@given(told=ANYTHING | TOLD)
def test_whatever_is_told_the_choice_fits_the_run(told: Any) -> None:
    result = trace(5)
    chosen = Selection.read(told).within(result)
    assert 0 <= chosen.token < result.length
    assert chosen.query is None or 0 <= chosen.query < result.length
    assert 0 <= chosen.layer < result.layers
    assert 0 <= chosen.head < result.heads
    assert chosen.run is None or (isinstance(chosen.run, str) and len(chosen.run) <= 64)


@pytest.mark.parametrize(
    "value",
    ["3", 3.0, 3.5, True, -1, 2**31, 10**30, None, [3], {"a": 3}, float("nan"), float("inf")],
)
def test_what_is_no_whole_number_in_range_is_dropped(value: object) -> None:
    told = Selection.read(dict.fromkeys(("token", "query", "layer", "head"), value))
    assert told == Selection(None, 0, None, None, None, None)


@pytest.mark.parametrize("run", ["", "r" * 65, 7, None, ["r"], b"r"])
def test_a_run_that_is_no_short_text_is_dropped(run: object) -> None:
    assert Selection.read({"run": run}).run is None


def test_what_is_right_is_kept() -> None:
    told = {"run": "r" * 64, "token": 3, "query": 4, "layer": 1, "head": 2, "other": "x"}
    assert Selection.read(told) == Selection("r" * 64, 3, 4, 1, 2)


def test_the_strongest_sink_is_chosen_when_no_head_is() -> None:
    chosen = Selection().within(trace(5))
    assert (chosen.layer, chosen.head) == (1, 2)


def test_a_layer_without_its_head_is_no_choice() -> None:
    chosen = Selection(layer=0).within(trace(5))
    assert (chosen.layer, chosen.head) == (1, 2)


def test_a_result_without_numbers_yet_has_a_first_head() -> None:
    chosen = Selection().within(unfinished(5))
    assert (chosen.layer, chosen.head) == (0, 0)


def test_an_unmeasured_head_is_not_the_strongest() -> None:
    scores = np.full((LAYERS, HEADS), np.nan, np.float32)
    scores[0, 3] = 0.0
    chosen = Selection().within(trace(5, sink_score=scores))
    assert (chosen.layer, chosen.head) == (0, 3)


def test_too_large_a_number_becomes_the_last(small: TraceResult) -> None:
    chosen = Selection("r", 99, 99, 99, 99).within(small)
    assert (chosen.token, chosen.query) == (4, 4)
    assert (chosen.layer, chosen.head) == (LAYERS - 1, HEADS - 1)


def test_the_browser_is_told_the_sizes_it_moves_within(small: TraceResult) -> None:
    value = selection_value(Selection("r", 2).within(small), small, example="r")
    assert value == {
        "run": "r",
        "token": 2,
        "query": None,
        "layer": 1,
        "head": 2,
        "tokens": 5,
        "layers": LAYERS,
        "heads": HEADS,
        "shown": True,
        "example": "r",
    }
