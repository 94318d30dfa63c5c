"""The Judge view: what it asks for, what it says of scores, and what is only of another text."""

import math
from types import SimpleNamespace

import pytest

from tests.ui.browser_stub import Visit
from tests.ui.conftest import MODEL
from tokenarium.backend import JudgeRequest, Lab
from tokenarium.ui.components.judged_table import _range, _said, _verdict
from tokenarium.ui.components.table import Numbers
from tokenarium.ui.figures.judging import reliability
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.panels.explore.judge import USUAL


@pytest.mark.parametrize(
    ("score", "low", "high", "verdict"),
    [
        (2.0, 0.0, 1.0, "above chance"),
        (-1.0, 0.0, 1.0, "below chance"),
        (1.0, 0.0, 1.0, "as chance gives"),
        (math.nan, 0.0, 1.0, "nothing to compare"),
        (1.0, math.nan, math.nan, "nothing to compare"),
    ],
)
def test_a_score_is_compared_with_chance(score, low, high, verdict) -> None:
    assert _verdict(score, low, high) == verdict


def test_what_is_not_known_is_a_dash() -> None:
    fields = ("score_low", "score_high")
    assert _range((math.nan, math.nan), fields, 0) == _said(math.nan) == "-"
    found = _range((-1.5, 0.25), fields, 0)
    assert isinstance(found, Numbers)
    assert [getattr(part, "text", part) for part in found.parts] == ["-1.5", " to ", "0.25"]


def test_the_form_is_sent_when_the_view_is_opened_and_not_before(lab: Lab) -> None:
    explore = Visit(lab, Explore)
    explore.fill(model=MODEL)
    view = explore.page.tabs["judge"]
    assert view.parts["judge_form"].value == {"groups": []}
    explore.told["view"] = "judge"
    found = explore.run(text="five!")[-1]
    groups = found["judge_form"]["groups"]
    assert {group["slug"] for group in groups} == set(USUAL)
    assert "press the button" in found["judge_said"]


def test_the_request_is_of_the_text_that_is_shown() -> None:
    assert JudgeRequest(model="tiny", text="abc").measures[0].slug == USUAL[0]


def test_the_reliability_diagram_is_of_the_bins_that_were_measured() -> None:
    bins = {
        f"bin_{number}_{part}": value
        for number, values in {1: (0.4, 0.5, 0.2, 0.8), 2: (0.9, 0.7, 0.5, 0.85)}.items()
        for part, value in zip(("confidence", "right", "low", "high"), values, strict=True)
    }
    figure = reliability(SimpleNamespace(details={"calibration": bins}))  # type: ignore[arg-type]
    assert figure is not None
    diagonal, shares = figure.data
    assert (list(diagonal.x), list(diagonal.y)) == ([0, 1], [0, 1])
    assert (list(shares.x), list(shares.y)) == ([0.4, 0.9], [0.5, 0.7])
    assert list(shares.error_y.array) == pytest.approx([0.3, 0.15])
    assert list(shares.error_y.arrayminus) == pytest.approx([0.3, 0.2])
    assert reliability(SimpleNamespace(details={"min_k": {}})) is None  # type: ignore[arg-type]
