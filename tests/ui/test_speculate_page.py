"""The Speculate page's handlers on tiny models, as a browser would call them."""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import (
    FAMILIES,
    STATUSES,
    AuditResult,
    Drafter,
    DrafterSpec,
    Event,
    Lab,
    Partial,
    Progress,
    Settings,
    SpeculateEstimate,
    SpeculateRequest,
    SpeculationResult,
    levels,
    pairs,
    tree_rows,
)
from tokenarium.ui.audits.answer import taken
from tokenarium.ui.audits.form import audit_request
from tokenarium.ui.components.draft_cost_card import speculate_card
from tokenarium.ui.components.race import race_value
from tokenarium.ui.components.speculate_tables import audit_badge, speculate_sentence
from tokenarium.ui.components.trees import FATES, tree_value
from tokenarium.ui.figures.speculation import NAMES, figures
from tokenarium.ui.pages.race import Race
from tokenarium.ui.pages.speculate import Speculate
from tokenarium.ui.panels.speculate.bias import Bias
from tokenarium.ui.panels.speculate.families import Families
from tokenarium.ui.panels.speculate.guesses import Guesses
from tokenarium.ui.panels.speculate.measures import Measures
from tokenarium.ui.shell.stored import stored_runs
from tokenarium.ui.text import one_line

PROMPT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "target", "llama")
    save_model(folder / "draft", "llama", num_hidden_layers=2)
    settings = Settings(
        database="duckdb:///:memory:", models_dir=folder, device="cpu", hosted=False
    )
    with Lab(settings) as made:
        yield made


USUAL: dict[str, Any] = {
    "text": PROMPT,
    "model": "local/target",
    "draft_model": "local/draft",
    "drafter": "iid_tree",
    "rule": "k_seq",
    "draft_len": 3,
    "tree_budget": 9,
    "temperature": 1.0,
    "max_new_tokens": 12,
    "parameters": {},
    "sampling": {},
}


@pytest.fixture
def page(lab: Lab) -> Visit:
    return Visit(lab, Speculate)


def ran(page: Visit, section: str = "run", **changes: object) -> dict[str, Any]:
    """Return the last thing that the page is told of a run."""
    return page.run(section, **(USUAL | changes))[-1]


def guesses(page: Visit) -> Guesses:
    (found,) = (panel for panel in page.page.shown if isinstance(panel, Guesses))
    return found


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[str, Any]:
    """The last thing the page is told of a run."""
    return ran(Visit(lab, Speculate))


def run_of(shown: dict[str, Any]) -> str:
    return str(shown["selection"]["run"])


@pytest.fixture(scope="module")
def result(lab: Lab, shown: dict[str, Any]) -> SpeculationResult:
    found = lab.open(run_of(shown)).result
    assert isinstance(found, SpeculationResult)
    return found


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


def test_the_map_of_families_names_every_drafter_once(lab: Lab) -> None:
    named = [slug for family in FAMILIES for slug in family.drafters]
    assert sorted(named) == sorted({*named})
    assert {each.slug for each in lab.methods(Drafter)} == {*named}
    drawn = Families(lab).families()
    assert all(each.title in drawn for each in lab.methods(Drafter))


def test_a_run_fills_every_part(shown: dict[str, Any], result: SpeculationResult) -> None:
    assert shown["status"] == ""
    said = words(shown["sentence"])
    assert f"{len(result.token_ids)} tokens in {len(result.rounds)} passes" in said
    for figure in NAMES:
        assert json.loads(shown[figure])["data"]
    assert shown["selection"]["rounds"] == len(result.rounds)


def test_every_token_leads_to_its_node(
    lab: Lab, shown: dict[str, Any], result: SpeculationResult
) -> None:
    value = json.loads(shown["speculation"])
    assert len(value["texts"]) == len(value["marks"]) == len(result.token_ids)
    page = guesses(Visit(lab, Speculate))
    for token, (number, node) in enumerate(zip(value["round_of"], value["node_of"], strict=True)):
        tree = page.tree(run_of(shown), number)
        found = tree["nodes"][node]
        assert one_line(result.choice_text[str(result.token_ids[token])]) == found["text"]
        assert found["status"] in ("accepted", "cut", "bonus", "residual_resample")


def test_a_tree_has_the_numbers_of_the_run(lab: Lab, result: SpeculationResult) -> None:
    titles = {rule.slug: rule.title for rule in lab.methods("rule")}
    for number in range(len(result.rounds)):
        tree = tree_value(result, number, titles)
        rows = tree_rows(result, number)
        assert len(tree["nodes"]) == len(rows) + 1
        for place, node in zip(range(rows.start, rows.stop + 1), tree["nodes"], strict=True):
            row = result.node_columns[place]
            assert node["status"] == STATUSES[row["status"]]
            assert node["status"] in FATES
            if row["draw_order"] >= 0:
                assert node["q_raw"] == pytest.approx(float(row["q_raw"]), rel=1e-4)
                assert node["accept_prob"] == pytest.approx(float(row["accept_prob"]), rel=1e-4)


def test_why_tells_the_numbers_that_decided(lab: Lab, result: SpeculationResult) -> None:
    titles = {rule.slug: rule.title for rule in lab.methods("rule")}
    nodes = [n for r in range(len(result.rounds)) for n in tree_value(result, r, titles)["nodes"]]
    decided = [
        n for n in nodes if n["status"] in ("accepted", "rejected") and 0 < n["accept_prob"] < 1
    ]
    assert {n["status"] for n in decided} == {"accepted", "rejected"}
    for node in decided:
        side = "is below" if node["status"] == "accepted" else "is not below"
        assert (node["u"] < node["accept_prob"]) == (node["status"] == "accepted")
        assert f"{node['accept_prob']:.3g}" in node["why"]
        assert side in node["why"]


def test_what_if_shows_every_other_rule_that_is_right(lab: Lab, shown: dict[str, Any]) -> None:
    tree = json.loads(shown["speculation"])["tree"]
    right = {p.rule for p in pairs(1.0) if p.drafter == "iid_tree" and p.reason is None}
    assert {other["rule"] for other in tree["others"]} == right
    (own,) = (other for other in tree["others"] if other["own"])
    stored = [node["status"] for node in tree["nodes"][:-1]]
    assert own["fates"] == ["accepted" if s == "cut" else s for s in stored]
    assert own["said"][-1] == tree["nodes"][-1]["text"]
    assert "other rules" in words(shown["other_rules"])


def test_the_measures_state_each_definition(
    shown: dict[str, Any], result: SpeculationResult
) -> None:
    told = words(shown["measures"])
    assert f"tokens per target call {result.tokens_per_target_call:.2f} new tokens /" in told
    accepted = int(result.accepted_in_text.sum())
    assert f"mean accepted length {accepted / len(result.rounds):.2f} accepted guesses" in told
    assert f"acceptance rate a {levels(result).acceptance:.2f} levels" in told
    assert "passed" in words(shown["audit"])


def test_figures_draw_the_counts(result: SpeculationResult) -> None:
    drawn = figures(result)
    depth, fates, verify = drawn["by_depth"], drawn["fates"], drawn["verify"]
    assert depth is not None
    assert fates is not None
    assert verify is not None
    counts = [text.removeprefix("n=") for text in depth.data[0].text]
    assert sum(map(int, counts)) == len(levels(result).accepted)
    assert sum(bar.x[0] for bar in fates.data) == result.rounds["drafted"].sum()
    assert list(verify.data[0].x) == (result.rounds["verified"] + 1).tolist()


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


def test_the_matrix_says_which_pairs_are_exact(page: Visit) -> None:
    (panel,) = (panel for panel in page.page.shown if isinstance(panel, Bias))
    told = words(panel.biases())
    assert "k-SEQ ✕ 0.30 (0.86) ✓ exact ✕ 0.06 (0.43)" in told
    assert "Sample and match ✓ exact ✓ exact ✓ exact" in told


def test_a_failed_audit_says_so() -> None:
    check = {"name": "draft law", "verdict": "failed", "evidence": "q <b> differs", "numbers": {}}
    told = audit_badge({"verdict": "failed", "checks": [check]})
    assert "✕ failed" in words(told)
    assert "<b> differs" not in told
    assert audit_badge({}) == ""


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


def test_files_hold_what_the_page_shows(
    page: Visit, shown: dict[str, Any], result: SpeculationResult
) -> None:
    def file(name: str) -> str:
        return page.handlers.export("run", run_of(shown), name)["text"]

    nodes = list(csv.DictReader(io.StringIO(file("nodes.csv"))))
    assert [row["status"] for row in nodes] == result.nodes["status"].tolist()
    assert [row["text"] for row in nodes] == result.nodes["text"].tolist()
    np.testing.assert_array_equal(
        [float(row["accept_prob"]) for row in nodes], result.nodes["accept_prob"]
    )
    rounds = list(csv.DictReader(io.StringIO(file("rounds.csv"))))
    assert [int(row["width"]) for row in rounds] == result.rounds["width"].tolist()
    whole = json.loads(file("run.json"))
    assert whole["id"] == run_of(shown)
    statuses = [STATUSES[place] for place in whole["values"]["node_columns"]["status"]]
    assert statuses == result.nodes["status"].tolist()


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


def test_a_speed_up_above_the_tokens_a_pass_is_explained(result: SpeculationResult) -> None:
    rounds = result.rounds.copy()
    rounds["draft_ms"], rounds["other_ms"], rounds["verify_ms"] = 0, 0, 1.5
    slow = np.full(len(result.plain_step_ms), 40, np.float32)
    quick = dataclasses.replace(result, rounds=rounds, plain_step_ms=slow)
    told = words(speculate_sentence(quick))
    assert f"more than its {result.tokens_per_target_call:.2f} tokens a pass" in told
    assert "reading one token took 40.0 ms, a verifying pass over" in told
    level = dataclasses.replace(quick, plain_step_ms=np.full(len(slow), 1.5, np.float32))
    assert "more than its" not in words(speculate_sentence(level))


def test_early_exit_says_before_a_run_when_it_pays() -> None:
    asked = SpeculateRequest(model="m", text="a", drafter=DrafterSpec(slug="early_exit"))
    assert "trained to leave early" in speculate_card(SpeculateEstimate(4, 0), asked)
    other = SpeculateRequest(model="m", text="a", drafter=DrafterSpec(slug="prompt_lookup"))
    assert "trained to leave early" not in speculate_card(SpeculateEstimate(4, 0), other)


def test_plain_decoding_is_timed_token_by_token(result: SpeculationResult) -> None:
    plain = json.loads(race_value([("x", "y", result)]))["lanes"][-1]
    assert len(plain["texts"]) == len(plain["ends"]) == len(result.plain_ids)
    assert plain["ends"][-1] == pytest.approx(float(result.plain_step_ms.sum()), abs=0.1)
