"""The Speculate page's handlers on tiny models, as a browser would call them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.browser_stub import Visit
from tests.ui.speculate.conftest import USUAL, guesses, ran, run_of
from tests.ui.test_sentence import words
from tokenarium.backend import (
    AuditResult,
    Event,
    Lab,
    Partial,
    Progress,
    SpeculationResult,
)
from tokenarium.ui.audits.answer import taken
from tokenarium.ui.audits.form import audit_request
from tokenarium.ui.pages.race import Race
from tokenarium.ui.pages.speculate import Speculate
from tokenarium.ui.panels.speculate.measures import Measures
from tokenarium.ui.shell.stored import stored_runs


def test_a_run_goes_over_to_the_audit_page(
    lab: Lab, shown: dict[str, Any], result: SpeculationResult
) -> None:
    assert f'href="audit?of={run_of(shown)}"' in shown["audit"]
    controls = taken(lab, run_of(shown), "")
    assert controls["continuation"] == result.text
    request = audit_request(lab, {"logprobs": "", **controls})
    assert request.token_ids == tuple(result.token_ids.tolist())
    found = lab.run(request).result
    assert isinstance(found, AuditResult)
    assert found.verdict == "inconclusive"  # four tokens, drawn
    assert "no-such-run" in taken(lab, "no-such-run", "")["audit_status"]


def test_rules_are_offered_where_they_are_right(page: Visit) -> None:
    def offered(drafter: str, temperature: float, rule: object) -> dict[str, Any]:
        asked = {"drafter": drafter, "temperature": temperature, "rule": rule}
        found: dict[str, Any] = page.page.offered(asked)  # type: ignore[attr-defined]
        return found

    cold = offered("iid_tree", 0.0, "k_seq")
    assert [slug for _, slug in cold["rule"]["choices"]] == ["greedy"]
    assert cold["rule"]["value"] == "greedy"
    assert "temperature 0" in words(cold["refused"])
    warm = offered("iid_tree", 1.0, "k_seq")
    assert warm["rule"]["value"] == "k_seq"
    assert "Greedy match : Greedy match always" in words(warm["refused"])
    assert offered("prompt_lookup", 1.0, None)["draft_model"]["visible"] is False
    assert warm["draft_model"]["visible"] is True


def test_a_stored_run_comes_back_with_its_question(
    lab: Lab, page: Visit, shown: dict[str, Any]
) -> None:
    run = run_of(shown)
    assert run in {known for _, known in stored_runs(lab, "speculate", page.visitor)}
    found = page.open(run)
    asked = page.asked()
    assert {name: asked[name] for name in USUAL if name not in ("parameters", "sampling")} == {
        name: value for name, value in USUAL.items() if name not in ("parameters", "sampling")
    }
    assert found["speculation"] == shown["speculation"]
    assert page.open(None) == {}
    assert "nowhere" in page.open("nowhere")["status"]
    assert "nowhere" in guesses(page).tree("nowhere", 0)["refused"]
    last = len(json.loads(shown["speculation"])["rounds"]) - 1
    assert guesses(page).tree(run, 10**9)["round"] == last


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": ""}, "text"),
        ({"model": "local/none"}, "local/none"),
        ({"draft_model": "local/none"}, "local/none"),
        ({"drafter": "no such"}, "no such"),
        ({"rule": "recursive"}, "iid_tree"),
        ({"rule": None}, "rule"),
        ({"temperature": 9}, "temperature"),
        ({"draft_len": "<b>"}, "draft_len"),
        ({"tree_budget": 9999}, "tree_budget"),
        ({"sampling": {"sampling": {"seed": -1}}}, "seed"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line(
    page: Visit, changes: dict[str, object], said: str
) -> None:
    last = ran(page, **changes)
    assert set(last) == {"status"}
    assert 'role="alert"' in last["status"]
    assert said in words(last["status"])
    assert "<b>" not in last["status"]


def test_the_card_knows_nothing_before_the_first_run(page: Visit, shown: dict[str, Any]) -> None:
    assert "unknown before the first run" in words(page.cost(**{**USUAL, "temperature": 0.3}))
    told = words(page.cost(**USUAL))
    assert "1 earlier run of this pair" in told
    assert re.search(r"Expected to pay (yes|no|about even): \d+\.\d\d times plain decoding", told)
    assert "Break-even" in told
    assert "choose" in words(page.cost(rule="recursive"))


def test_the_best_tree_becomes_the_shape(page: Visit, shown: dict[str, Any]) -> None:
    assert shown["apply"]["visible"]
    page.open(run_of(shown))
    (panel,) = (panel for panel in page.page.shown if isinstance(panel, Measures))
    (action,) = panel.actions()
    assert action.fills
    page.every(page.handlers.act(panel, action, page.asker()))
    assert "press Run" in words(page.status())
    shape = page.asked()["parameters"]["iid_tree"]["shape"]
    assert shape[0] == "-1"
    assert 1 < len(shape) <= 10
    last = page.run()[-1]
    assert last["status"] == ""
    assert len(json.loads(last["speculation"])["tree"]["nodes"]) == len(shape) + 1


def test_a_race_runs_each_under_a_rule_that_is_right(lab: Lab, page: Visit) -> None:
    steps = page.run("race", **{**USUAL, "racers": ["prompt_lookup", "gumbel_tree"]})
    assert any("Prompt lookup: " in str(step.get("race.status")) for step in steps)
    last = json.loads(page.values["race_track"])
    assert [lane["title"] for lane in last["lanes"]][-1] == "Plain decoding"
    assert len(last["lanes"]) == 3
    ids = (page.shown("race") or "").split(".")
    for run_id, lane in zip(ids, last["lanes"], strict=False):
        result = lab.open(run_id).result
        assert isinstance(result, SpeculationResult)
        assert sum(lane["counts"]) == len(lane["texts"]) == len(result.token_ids)
        assert lane["ends"][-1] == pytest.approx(
            1e3 * len(result.token_ids) / result.tokens_per_s, abs=0.1
        )
    rules = [lab.open(run_id).request.rule.slug for run_id in ids]  # type: ignore[attr-defined]
    assert rules == ["sample_and_match", "recursive"]
    again = Visit(lab, Speculate)
    again.boot(f"race={page.shown('race')}")
    assert json.loads(again.values["race_track"]) == last


def test_a_run_that_goes_on_shows_nothing_of_the_one_before(
    page: Visit, shown: dict[str, Any], result: SpeculationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(*_: object, **__: object) -> Iterator[Event]:
        yield Progress("drafting and verifying", 1, 2)
        yield Partial(result)

    page.open(run_of(shown))
    monkeypatch.setattr(page.handlers.lab, "follow", follow)
    monkeypatch.setattr(page.page, "partial_every_s", 0)
    page.fill(**USUAL)
    steps = page.running()
    _, busy, known = (page.take(next(steps)) for _ in range(3))
    assert set(busy) == {"status"}
    assert (known["selection"]["run"], known["audit"], known["time"]) == (None, "", None)
    assert json.loads(known["speculation"])["run"] is None
    newest = json.loads(known["speculation"])["tree"]["round"]
    assert newest == len(result.rounds) - 1


def test_a_race_prefers_rules_that_use_the_drafts_law(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = Race(lab)
    assert race.rule_for("gumbel_tree", USUAL) == "recursive"
    uses = {**race.needs_draft_probs, "recursive": False, "top_k_set": True}
    monkeypatch.setattr(race, "needs_draft_probs", uses)
    assert race.rule_for("gumbel_tree", USUAL) == "top_k_set"


@pytest.mark.parametrize("chosen", [None, [], ["draft_chain"] * 4, "x"])
def test_a_race_of_none_or_too_many_is_refused(page: Visit, chosen: object) -> None:
    (found,) = page.run("race", **{**USUAL, "racers": chosen})
    assert "choose 1 to 3" in words(found["race.status"])
