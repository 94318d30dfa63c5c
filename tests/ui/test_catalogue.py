"""Figures of a run by name, drawn without a page."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from plotly import graph_objects as go

from tests.labs import shipped_lab
from tokenarium.backend import Lab, Run, UserError
from tokenarium.ui.figures.catalogue import FIGURES, THRESHOLD, NothingToDrawError
from tokenarium.ui.figures.sinks import sink_grid
from tokenarium.ui.panels.explore.sinks import USUAL_THRESHOLD


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def trace(lab: Lab) -> Run:
    return lab.open(lab.examples("trace")[0].run_id)


@pytest.mark.parametrize("kind", FIGURES)
def test_every_figure_of_a_shipped_run_is_drawn_with_a_title(lab: Lab, kind: str) -> None:
    for example in lab.examples(kind):
        run = lab.open(example.run_id)
        assert run.figures == tuple(FIGURES[kind])
        drawn = [figure for name in run.figures if (figure := _drawn(run, name)) is not None]
        assert len(drawn) >= min(2, len(run.figures)), example.slug
        for figure in drawn:
            assert figure.data
            assert run.request.model in figure.layout.title.text  # type: ignore[attr-defined]


def _drawn(run: Run, name: str) -> go.Figure | None:
    found: go.Figure | None = None
    with suppress(NothingToDrawError):
        found = run.figure(name)
    return found


def test_a_figure_has_the_numbers_of_the_page(trace: Run) -> None:
    assert THRESHOLD == USUAL_THRESHOLD
    mine, shown = trace.figure("sinks", threshold=0.5), sink_grid(trace.result, 0.5)
    np.testing.assert_array_equal(mine.data[0].z, shown.data[0].z)
    np.testing.assert_array_equal(mine.data[1].x, shown.data[1].x)


def test_the_strongest_sink_is_drawn_unless_a_head_is_chosen(trace: Run) -> None:
    scores = trace.result.sink_score
    layer, head = np.unravel_index(scores.argmax(), scores.shape)
    assert f"layer {layer}, head {head}" in trace.figure("attention").layout.title.text
    assert "layer 2, head 1" in trace.figure("attention", layer=2, head=1).layout.title.text
    of_layer = int(scores[3].argmax())
    assert f"layer 3, head {of_layer}" in trace.figure("attention", layer=3).layout.title.text


@pytest.mark.parametrize(
    ("name", "choices", "words"),
    [
        ("sinkz", {}, "a run of kind trace has sinks, heads"),
        ("sinks", {"head": 1}, "'sinks' has threshold, length"),
        ("heads", {"metric": "x"}, "choose sink, previous"),
        ("attention", {"layer": 99}, "cannot be drawn"),
        ("attention", {"layer": "two"}, "cannot be drawn"),
    ],
)
def test_what_there_is_not_is_refused(
    trace: Run, name: str, choices: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        trace.figure(name, **choices)
