"""A browser may say anything; a selection is whole numbers that fit the run."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.hand_made import HEADS, LAYERS, trace, unfinished
from tokenarium.backend import TraceResult
from tokenarium.ui.shell.selection import Chosen, Selection, number_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = [
    "run",
    "token",
    "query",
    "layer",
    "head",
    "step",
    "policy",
    "runs",
    "running",
    "reply",
    "x",
]
TOLD = st.dictionaries(st.sampled_from(NAMES), ANYTHING)


@given(told=ANYTHING | TOLD)
def test_whatever_is_told_the_choice_fits_the_run(told: Any) -> None:
    result = trace(5)
    chosen = Selection.read(told).within(result)
    assert 0 <= chosen.token < result.length
    assert chosen.query is None or 0 <= chosen.query < result.length
    assert 0 <= chosen.layer < result.layers
    assert 0 <= chosen.head < result.heads
    assert chosen.run is None or (isinstance(chosen.run, str) and len(chosen.run) <= 64)
    read = Selection.read(told)
    assert all(isinstance(ids, str) for ids in (*read.runs.values(), *read.running.values()))
    assert read.step is None or 0 <= read.step < 2**31
    Chosen.read(told)


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
    wanted = Selection("r" * 64, 3, 4, 1, 2, runs={"run": "r" * 64})
    assert Selection.read(told) == wanted


def test_the_runs_of_every_section_are_kept() -> None:
    told = {"run": "r", "runs": {"sweep": "s", "race": "a.b.c", "bad": 3}, "running": {"race": "d"}}
    read = Selection.read(told)
    assert read.runs == {"run": "r", "sweep": "s", "race": "a.b.c"}
    assert read.running == {"race": "d"}


def test_what_was_drawn_is_read_back() -> None:
    chosen = Chosen("r", 3, 4, 1, 2, "entropy", 5, "h2o")
    assert Chosen.read(asdict(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "wanted"), [("3", 3), ("-1", None), ("٣", None), ("9" * 10, None)]
)
def test_a_number_of_an_address(text: str, wanted: int | None) -> None:
    assert number_of(text) == wanted


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
