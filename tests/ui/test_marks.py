"""A table of a figure's marks: the numbers that are drawn, named with their units."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from plotly import graph_objects as go

from tests.labs import shipped_lab
from tokenarium.backend import Lab, Run
from tokenarium.ui.figures.catalogue import FIGURES, NothingToDrawError
from tokenarium.ui.figures.marks import marks, marks_csv
from tokenarium.ui.figures.style import finish


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def trace(lab: Lab) -> Run:
    return lab.open("example-first-token")


def test_a_grid_has_a_row_for_every_head(trace: Run) -> None:
    found = marks(trace.figure("sinks"))
    assert list(found) == ["layer", "head", "sink score"]
    scores = trace.figure("sinks").data[0].z
    for layer, head, score in zip(*found.values(), strict=True):
        assert score == scores[layer][head]
    assert len(found["head"]) == scores.size


def test_a_line_has_a_row_for_every_token_with_its_word_and_unit(trace: Run) -> None:
    found = marks(trace.figure("predictability"))
    assert list(found) == ["series", "token position", "nats", "text"]
    own = [value for name, value in zip(found["series"], found["nats"], strict=True)
           if name == "surprisal"]  # fmt: skip
    np.testing.assert_array_equal(np.float32(own), trace.result.surprisal_nats)
    assert found["text"][1] == " old"


@pytest.mark.parametrize("kind", FIGURES)
def test_every_number_of_every_figure_is_in_its_table(lab: Lab, kind: str) -> None:
    for example in lab.examples(kind):
        run = lab.open(example.run_id)
        for name in run.figures:
            with suppress(NothingToDrawError):
                figure = run.figure(name)
                rows = list(csv.reader(io.StringIO(marks_csv(figure))))
                assert len(rows) - 1 == drawn(figure), name
                known = [float(cell) for row in rows for cell in row if NUMBER.fullmatch(cell)]
                for numbers in numbers_of(figure):
                    assert np.isin(numbers, np.array(known, numbers.dtype)).all(), name
                assert all(title and title != "value" for title in rows[0]) or name == "held"
                assert not any("<br" in cell or "&lt;" in cell for row in rows for cell in row)


NUMBER = re.compile(r"-?\d+\.?\d*(e[-+]\d+)?")


def numbers_of(figure: go.Figure) -> Iterator[Any]:
    for trace in figure.data:
        if trace.hoverinfo != "skip":
            for part in (trace.z,) if trace.type == "heatmap" else (trace.x, trace.y):
                array = np.asarray(part)
                if array.dtype.kind in "fi":
                    yield array[np.isfinite(array)]


def drawn(figure: go.Figure) -> int:
    """Return how many marks a figure has."""
    shown = [trace for trace in figure.data if trace.hoverinfo != "skip"]
    return sum(np.size(t.z) if t.type == "heatmap" else len(t.x) for t in shown)


def made(*traces: Any, **layout: Any) -> go.Figure:
    return finish(go.Figure(traces, layout), 200, "made", "made")


def test_words_outlines_edges_and_formulas() -> None:
    figure = made(
        go.Bar(x=np.float32([0.1, 0.2]), y=[0, 1], orientation="h", name="a<br>b",
               customdata=["=1+1", "&lt;s&gt;"]),
        go.Scatter(x=[1], y=[2], hoverinfo="skip"),
        yaxis={"tickvals": [0, 1], "ticktext": ["none", "some"]},
        xaxis={"title": {"text": "share (%)"}},
    )  # fmt: skip
    assert marks_csv(figure) == (
        "series,y,y name,share (%),text\na b,0,none,0.1,'=1+1\na b,1,some,0.2,<s>\n"
    )
    heat = made(go.Heatmap(z=[[1.0, None]], x=[-0.5, 1.5, 2.5]), xaxis={"title": {"text": "t"}})
    assert marks_csv(heat) == "y,t,value\n0,0 to 1,1.0\n0,2,\n"
