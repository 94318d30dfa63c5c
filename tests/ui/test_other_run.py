"""The run that another is compared with: always one whose heads can be paired, never an error."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, LAYERS, trace
from tokenarium.backend import TraceRequest, UserError, sink_scores
from tokenarium.ui.panels.explore.compare import Compare
from tokenarium.ui.panels.explore.heads import Heads
from tokenarium.ui.panels.explore.other_run import OTHER, other_run
from tokenarium.ui.panels.explore.sinks import Sinks, length_of, threshold_of
from tokenarium.ui.shell.panel import Scene
from tokenarium.ui.shell.selection import Chosen

OWN, FOREIGN = "one/model", "another/model"


def run(run_id: str, model: str, layers: int = LAYERS) -> Any:
    shape = (layers, HEADS)
    result = trace(9, sink_score=np.full(shape, 0.5, np.float32))
    return SimpleNamespace(
        id=run_id, model=model, result=result, request=TraceRequest(model=model, text=run_id)
    )


class Stored:
    """A lab that has runs, the newest first."""

    def __init__(self, *runs: Any) -> None:
        self.runs = {each.id: each for each in runs}

    def search(self, *, model: str, **_: object) -> list[Any]:
        return [each for each in self.runs.values() if each.model == model]

    def open(self, run_id: str, **_: object) -> Any:
        if run_id not in self.runs:
            raise UserError(f"there is no run {run_id}")
        return self.runs[run_id]

    def examples(self, _: str) -> tuple[()]:
        return ()


def scene(shown: Any, **settings: object) -> Any:
    return Scene(shown.result, shown.request, Chosen(run=shown.id), settings)


HERE = run("here", OWN)


@pytest.mark.parametrize(
    ("stored", "told", "wanted", "words"),
    [
        ([HERE], None, None, ""),
        ([HERE, run("far", FOREIGN, 3)], None, None, ""),
        ([HERE, run("new", OWN), run("old", OWN)], None, "new", ""),
        ([HERE, run("new", OWN), run("old", OWN)], "old", "old", ""),
        ([HERE, run("new", OWN), run("old", OWN)], "here", "new", "is shown"),
        ([HERE, run("far", FOREIGN, 3), run("old", OWN)], "far", "old", "cannot be paired"),
        ([HERE, run("far", FOREIGN, 3)], "far", None, "cannot be paired"),
        ([HERE, run("near", FOREIGN)], "near", "near", ""),
        ([HERE, run("old", OWN)], "gone", "old", "not stored any more"),
        ([HERE, run("cut", OWN, 3), run("old", OWN)], None, "old", ""),
    ],
)
def test_the_newest_fitting_run_of_the_model_is_compared_with(
    stored: list[Any], told: str | None, wanted: str | None, words: str
) -> None:
    found = other_run(Stored(*stored), scene(HERE, **{OTHER: told}))
    assert (found.run.id if found.run else None) == wanted
    assert words in found.refused
    assert bool(words) == bool(found.refused)


@pytest.mark.parametrize("stored", [[HERE], [HERE, run("far", FOREIGN, 3)]])
def test_nobody_opens_a_view_on_an_error(stored: list[Any]) -> None:
    lab, shown = Stored(*stored), scene(HERE, **{OTHER: "far"})
    for panel, said in ((Compare(lab), "compare_said"), (Heads(lab), "heads_said")):
        drawn = panel.draw(shown)
        assert 'role="alert"' not in drawn[said]
    assert "Read a second text" in Compare(lab).draw(shown)["compare_said"]


def test_kinds_of_heads_name_the_other_text() -> None:
    lab = Stored(HERE, run("new", OWN))
    assert "chosen in Compare" in Heads(lab).draw(scene(HERE))["heads_said"]


def test_both_views_say_that_the_newest_run_is_compared_with() -> None:
    lab, newest = Stored(HERE, run("new", OWN), run("old", OWN)), "newest other run of this model"
    for panel, said in ((Compare(lab), "compare_said"), (Heads(lab), "heads_said")):
        for told in (None, "gone", "new"):
            assert newest in panel.draw(scene(HERE, **{OTHER: told}))[said]
        assert newest not in panel.draw(scene(HERE, **{OTHER: "old"}))[said]


def test_the_choice_follows_what_is_compared() -> None:
    lab = Stored(HERE, run("new", OWN))
    picked = Compare(lab).draw(scene(HERE, **{OTHER: "gone"}))[OTHER]
    assert picked.value == "new"
    assert OTHER not in Compare(lab).draw(scene(HERE, **{OTHER: "new"}))


def test_a_sink_has_one_number_unless_another_window_is_chosen() -> None:
    first = np.random.default_rng(0).random((LAYERS, HEADS, 40), np.float32)
    result = trace(40, first_mass=first, sink_score=first.mean(-1), sink_threshold=0.5)
    shown = scene(replace_result(HERE, result))
    assert length_of(shown) is None
    assert threshold_of(shown) == 0.5
    drawn = Sinks(Stored()).draw(shown)
    count = int((result.sink_score > 0.5).sum())
    assert f"<b>{count} of {LAYERS * HEADS}</b>" in drawn["sinks_said"]
    assert "first" not in drawn["sinks_said"].split("heads give")[0]
    assert drawn["sink_threshold_shown"].value == 0.5
    assert '"sink score"' in drawn["sink_grid"]
    eight = replace(shown, settings={"sink_length": "8"})
    drawn = Sinks(Stored()).draw(eight)
    assert "sink score, first 8 tokens" in drawn["sink_grid"]
    assert "sink rate, first 8 tokens" in drawn["sink_layers"]
    assert np.array_equal(sink_scores(result, length_of(eight)), first[..., :8].mean(-1))


def test_a_moved_threshold_stays_until_a_run_states_another() -> None:
    usual = scene(HERE, sink_threshold_shown=0.7, sink_threshold_of=0.3)
    assert threshold_of(usual) == 0.7
    strict = scene(replace_result(HERE, replace(HERE.result, sink_threshold=0.5)))
    assert threshold_of(replace(strict, settings=usual.settings)) == 0.5


def replace_result(shown: Any, result: Any) -> Any:
    return SimpleNamespace(**{**vars(shown), "result": result})
