"""What the Speculate page shows of a run: the numbers that the run holds."""

import csv
import dataclasses
import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.ui.browser_stub import Visit
from tests.ui.speculate.conftest import guesses, ran, run_of
from tests.ui.test_sentence import words
from tokenarium.backend import (
    FAMILIES,
    STATUSES,
    Drafter,
    DrafterSpec,
    Lab,
    Run,
    SpeculateEstimate,
    SpeculateRequest,
    SpeculationResult,
    levels,
    pairs,
    tree_rows,
)
from tokenarium.ui.components.draft_cost_card import speculate_card
from tokenarium.ui.components.race import race_value
from tokenarium.ui.components.speculate_tables import audit_badge, speculate_sentence
from tokenarium.ui.components.trees import FATES, tree_value
from tokenarium.ui.figures.speculation import NAMES, figures
from tokenarium.ui.pages.speculate import Speculate
from tokenarium.ui.panels.speculate.bias import Bias
from tokenarium.ui.panels.speculate.families import Families
from tokenarium.ui.text import one_line


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
    assert shown["exits"] is None, "nobody looked at the model's exits"
    for figure in set(NAMES) - {"exits"}:
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
        said = "".join(text for text, *_ in node["why"])
        assert f"{node['accept_prob']:.3g}" in said
        assert side in said


def test_a_chain_that_was_read_twice_shows_both_distributions(
    lab: Lab, page: Visit, result: SpeculationResult
) -> None:
    asked = {"drafter": "early_exit", "rule": "reflective", "max_new_tokens": 6}
    run = lab.open(run_of(ran(page, **asked))).result
    assert isinstance(run, SpeculationResult)
    assert run.second_prob is not None
    assert run.second_top is not None
    nodes = tree_value(run, 0, {})["nodes"]
    root, guess = nodes[0], nodes[1]
    assert [share for _, share in root["second"]] == pytest.approx(run.second_top[0], rel=1e-4)
    assert guess["again"] == pytest.approx(float(run.second_prob[1]), rel=1e-4)
    assert [text for text, _ in root["second"]] != [text for text, _ in root["target"]] or (
        root["second"] != root["target"]
    )
    assert 0 < root["again_overlap"] < 1
    assert "second" not in tree_value(result, 0, {})["nodes"][0]


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
    asked = SpeculateRequest(model="m", text="a")
    run = Run("r", asked, result, datetime.now(UTC), 1.0, {}, cached=False)
    plain = json.loads(race_value([run]))["lanes"][-1]
    assert len(plain["texts"]) == len(plain["ends"]) == len(result.plain_ids)
    assert plain["ends"][-1] == pytest.approx(float(result.plain_step_ms.sum()), abs=0.1)
