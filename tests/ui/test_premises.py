"""Premises of a run: measured before anything is written, stored, said and drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import DecodeRequest, DecodeResult, Drawing, Lab, Run, StrategySpec
from tokenarium.backend.decoding.drawing import Series
from tokenarium.backend.decoding.strategies.cascade import Cascade
from tokenarium.backend.decoding.strategies.cntp import Cntp
from tokenarium.backend.decoding.strategies.soft_thinking import SoftThinking
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.ui.components.decode_card import decode_card
from tokenarium.ui.components.premises import premises
from tokenarium.ui.figures.drawings import drawings
from tokenarium.ui.panels.decode.doubt import Doubt
from tokenarium.ui.panels.decode.premises import Premises
from tokenarium.ui.shell.panel import Scene
from tokenarium.ui.shell.selection import Chosen
from tokenarium.ui.why.number import unmarked

ASKED = DecodeRequest(
    model="bundled/draft",
    text="Once upon a time",
    strategies=[
        StrategySpec("greedy"),
        StrategySpec("soft_thinking", tokens=2),
        StrategySpec("cntp", low_nats=1e-6),
        StrategySpec("cascade"),
    ],
    max_new_tokens=12,
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return shipped_lab()


@pytest.fixture(scope="module")
def passes() -> list[int]:
    """How many forward passes ran."""
    return [0]


@pytest.fixture(scope="module")
def run(lab: Lab, passes: list[int]) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        original = TreeReader._forward

        def counted(self: TreeReader, *args: object, **named: object) -> object:
            passes[0] += 1
            return original(self, *args, **named)  # type: ignore[arg-type]

        assert "whether its premise holds for this model is measured first" in decode_card(
            lab.estimate(ASKED)  # type: ignore[arg-type]
        )
        patch.setattr(TreeReader, "_forward", counted)
        return lab.run(ASKED)


def result_of(run: Run) -> DecodeResult:
    assert isinstance(run.result, DecodeResult)
    return run.result


def test_measuring_a_premise_changes_nothing_that_is_written(
    lab: Lab, run: Run, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = result_of(run)
    assert [lane.premise is not None for lane in result.lanes] == [False, True, True, True]
    spent = sum(lane.passes + lane.small_passes + lane.premise_passes for lane in result.lanes)
    prompts = 2  # that of the model, and that of the small one
    probes = passes[0] - prompts - spent  # whether trees can be read is tried once a model
    assert 0 <= probes <= 2
    assert [lane.premise_passes for lane in result.lanes] == [0, 11, 0, 1]
    for kind in (SoftThinking, Cntp, Cascade):
        monkeypatch.setattr(kind, "builds_on", "")
    bare = result_of(shipped_lab().run(ASKED))
    assert all(lane.premise is None for lane in bare.lanes)
    for name in ("token_id", "passes", "token_steps"):
        np.testing.assert_array_equal(bare.token_columns[name], result.token_columns[name])
    np.testing.assert_array_equal(bare.journal["reason"], result.journal["reason"])


def test_a_premise_is_stored_with_its_drawing_and_remembered(lab: Lab, run: Run) -> None:
    stored = result_of(lab.open(run.id))
    for lane, again in zip(result_of(run).lanes, stored.lanes, strict=True):
        assert lane.premise == again.premise
    soft = stored.lanes[1].premise
    assert soft is not None
    assert soft.drawing is not None
    plain, mixtures = soft.drawing.series
    np.testing.assert_array_equal(plain.y, stored.lanes[0].entropy_nats[1:12])
    assert soft.value == pytest.approx(np.mean(mixtures.y) / np.mean(plain.y), rel=1e-5)
    card = decode_card(lab.estimate(ASKED))  # type: ignore[arg-type]
    assert "its premise does not hold in an earlier run: at 12 of 12 steps" in card


def test_the_page_says_the_verdict_first_and_draws_it(lab: Lab, run: Run) -> None:
    result = result_of(run)
    panel = Premises(lab)
    found = panel.draw(Scene(result, ASKED, Chosen(run.id), runs=(run,)))
    assert "<mark>does not hold here</mark>: at 12 of 12 steps" in unmarked(found["premises"])
    assert 'data-why="premise_value 2"' in found["premises"]
    figure = json.loads(found["premise_figure"])
    names = [trace["name"] for trace in figure["data"]]
    assert names[:4] == ["plain decoding", "mixtures", "plain decoding", "threshold"]
    unfinished = panel.draw(Scene(result, ASKED, Chosen(None)))
    assert unfinished["premises"] == found["premises"]
    assert unfinished["premise_figure"] is None
    older = replace(result, premise_columns=None, premise_words=None, drawing_points=None)
    said = premises(older)
    assert said.count("<li>") == said.count("builds on was not measured in this run") == 3
    assert "Greedy" not in said
    assert "None of these strategies" not in said
    plain = replace(older, strategies=("greedy",) * len(result.lanes))
    assert "None of these strategies" in premises(plain)


def test_a_search_is_drawn_by_what_it_tried(lab: Lab) -> None:
    spec = StrategySpec("magic_words", words=1, pool=64, iterations=0)
    asked = DecodeRequest(model="bundled/draft", text="Once upon a time", strategies=[spec],
                          max_new_tokens=4)  # fmt: skip
    run = lab.run(asked)
    result = result_of(run)
    lane = result.lanes[1]
    [curve] = lane.drawings
    assert list(curve.series[0].x) == [0, 64]
    given = [*result.prompt_ids.tolist(), int(lane.token_ids[0])]
    wanted = int(result.lanes[0].top_ids[0, 9])  # rank 10
    again = DecodeRequest(model="bundled/draft", text="as above", prompt_ids=given,
                          max_new_tokens=1, begin=[wanted])  # fmt: skip
    fresh = result_of(lab.run(again)).lanes[0].tokens["probability"][0]
    assert np.exp(curve.series[0].y[-1]) == pytest.approx(fresh, rel=1e-4)
    figure = Doubt(lab).draw(Scene(result, asked, Chosen(run.id), runs=(run,)))["search_figure"]
    assert json.loads(figure)["data"][0]["name"] == "best words so far"


def test_a_drawing_of_a_hostile_name_is_text() -> None:
    drawing = Drawing("<b>x</b>", "x", "y", (Series("<script>", [1, 2], [3, 4]),))
    figure = drawings([("<i>", drawing)], "d", "label")
    assert figure is not None
    assert "<script>" not in str(figure.data[0].name)
    assert "<b>" not in figure.layout.annotations[0].text
