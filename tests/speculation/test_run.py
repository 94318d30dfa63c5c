"""Speculative runs: their text is the target's own, and what they record is what happened."""

import itertools
from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.conftest import save_model
from tests.pairwise import covering
from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import Cancelled, CancelToken, Partial, Progress
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.matrix import valid_rules
from tokenarium.backend.speculation.node_schema import REASONS, STATUSES
from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec, SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.summary import levels
from tokenarium.backend.speculation.vocabulary import compare
from tokenarium.backend.speculation.whatif import verify_stored

PAIRS = covering(
    [
        (drafter.slug, rule.slug, temperature)
        for drafter in Drafter.registry.all()
        for temperature in (0.0, 1.0)
        for rule in valid_rules(drafter, temperature)
    ],
    lambda drafter, rule, temperature: (drafter, temperature),
    lambda drafter, rule, temperature: (rule, temperature, Drafter.registry.find(drafter).draw),
)
"""Every drafter at both temperatures, every rule at both with children of every draw."""


def ask(said: str = "THE CAT SAT ON THE CAT SAT", **values: Any) -> SpeculateRequest:
    defaults = {"model": "target", "draft_model": "draft", "max_new_tokens": 20, "draft_len": 3}
    return SpeculateRequest(text=said, **(defaults | {"tree_budget": 6} | values))


@pytest.fixture
def run(target, draft):
    def go(request: SpeculateRequest, model=None, emit=None, cancel=None) -> SpeculationResult:
        beside = {"draft": draft} if request.beside else {}
        say, stop = emit or (lambda _: None), cancel or CancelToken()
        return speculate(request, model or target, 2048, say, stop, beside)

    return go


@pytest.mark.parametrize(("drafter", "rule", "temperature"), PAIRS)
def test_every_pair_records_what_it_did(run, target, drafter, rule, temperature) -> None:
    result = run(ask(drafter=drafter, rule=rule, temperature=temperature))
    if result.ended == "end":  # drawn: the text may end by itself
        assert temperature
        assert result.token_ids[-1] in end_of_text(target)
    else:
        assert len(result.token_ids) == 20
    if temperature == 0:
        assert result.token_ids.tolist() == result.plain_ids.tolist()
    failed = [check for check in result.audit["checks"] if check["verdict"] == "failed"]
    assert failed == []
    nodes, rounds = result.nodes, result.rounds
    assert nodes["token_id"][result.token_node].tolist() == result.token_ids.tolist()
    assert rounds["new_tokens"].sum() == len(result.token_ids)
    assert (rounds["verified"] <= 6).all()
    assert (rounds["depth"] <= 3).all()
    own = result.rules.index(rule)
    tested = np.isin(nodes["status"], ["accepted", "rejected"])
    np.testing.assert_allclose(
        nodes["accept_prob"][tested], result.judged_accept[tested, own], rtol=1e-6
    )
    for number, round_ in enumerate(rounds):
        _check_walk(result, number, round_, own)
    # What a run says of itself is whole: no column is left as it was made.
    assert set(Counter(nodes["status"])) <= set(STATUSES)
    assert set(nodes["reason"]) <= set(REASONS.values())


def _check_walk(result: SpeculationResult, number: int, round_: Any, own: int) -> None:
    """The stored columns lead to the stored outcome."""
    first = round_["first_node"]
    rows = result.node_columns[first : first + round_["drafted"] + 1]
    assert set(rows["round"]) == {number}
    span = slice(first, first + len(rows))
    walked = verify_stored(
        Rule.registry.find(result.rule)(),
        np.where(rows["parent"] < 0, -1, rows["parent"] - first),
        rows["token_id"],
        result.judged_accept[span, own],
        result.judged_next[span, own],
        rows["u"],
        rows["p_raw"],
    )
    assert walked is not None
    said = [int(rows["token_id"][node]) for node in walked.path[1:]] + [walked.token]
    start = int(result.rounds["new_tokens"][:number].sum())
    kept = int(round_["new_tokens"])
    assert result.token_ids[start : start + kept].tolist() == said[:kept]
    assert round_["accepted_len"] == len(walked.path) - 1


FAMILIES = ["qwen3", "gpt2", "gpt_neox", "opt", "mistral", "gemma2", "gemma3_text"]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_transformers(twins, letters, family) -> None:
    """Every family, text longer than its windows, against the model reading it all at once."""
    loaded, oracle = twins(family)
    request = ask(letters(40), drafter="token_recycling", max_new_tokens=24)
    result = speculate(request, loaded, 2048, lambda _: None, CancelToken())
    text = [*result.prompt_ids.tolist(), *result.token_ids.tolist()]
    with torch.inference_mode():
        logits = oracle(torch.tensor([text]), use_cache=False).logits[0]
    said = logits[len(result.prompt_ids) - 1 : -1].argmax(-1)
    assert result.token_ids.tolist() == said.tolist() == result.plain_ids.tolist()


def test_a_model_that_verifies_no_tree_gets_chains_and_says_so(tmp_path, letters, draft) -> None:
    chunks = {"attention_chunk_size": 16, "num_key_value_heads": 2, "head_dim": 8}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "intermediate_size_mlp": 48}
    save_model(tmp_path, "llama4_text", **chunks, **experts)
    loaded = load(ModelSource("local/llama4", tmp_path, None, "llama4"), "float32", "cpu", 2048)
    for drafter, rule, temperature in (
        ("token_recycling", "greedy", 0.0),
        ("gumbel_tree", "recursive", 1.0),
    ):
        request = ask(letters(40), drafter=drafter, rule=rule, temperature=temperature)
        result = speculate(request, loaded, 2048, lambda _: None, CancelToken(), {"draft": draft})
        assert any("cannot verify a tree" in note for note in result.notes)
        assert result.rounds["width"].max() == 1
        assert (result.nodes["status"] == "pruned_before_verify").any()
        assert result.audit["verdict"] == "passed"
        if temperature == 0:
            assert result.token_ids.tolist() == result.plain_ids.tolist()


def test_a_draft_that_is_the_target_is_always_right(run, target) -> None:
    request = ask(draft_model="target", max_new_tokens=16)
    result = speculate(request, target, 2048, lambda _: None, CancelToken(), {"target": target})
    assert result.rounds["accepted_len"].tolist() == [3, 3, 3, 3]
    assert result.tokens_per_target_call == 4
    sampled = ask(
        draft_model="target", rule="speculative_sampling", temperature=1.3, max_new_tokens=16
    )
    result = speculate(sampled, target, 2048, lambda _: None, CancelToken(), {"target": target})
    drafted = result.nodes["draw_order"] >= 0
    # Rows of the output layer that belong to no token are never drafted, and have some mass here.
    np.testing.assert_allclose(result.nodes["accept_prob"][drafted], 1, atol=0.03)
    overlap, own = result.nodes["tv_overlap"], result.nodes["accept_prob"]
    parents = result.nodes["parent"][drafted]
    np.testing.assert_allclose(own[drafted], overlap[parents], rtol=1e-4)


def test_the_text_ends_inside_an_accepted_block(run, target, monkeypatch) -> None:
    plain = run(ask(draft_model="draft", max_new_tokens=16)).plain_ids.tolist()
    end = plain[9]
    monkeypatch.setattr(target.model.generation_config, "eos_token_id", end)
    result = speculate(
        ask(draft_model="target", max_new_tokens=16, draft_len=8, tree_budget=8),
        target,
        2048,
        lambda _: None,
        CancelToken(),
        {"target": target},
    )
    first = plain.index(end)
    assert result.token_ids.tolist() == plain[: first + 1] == result.plain_ids.tolist()
    assert result.ended == "end"
    assert result.rounds["new_tokens"].sum() == first + 1
    after = result.nodes["status"] == "cut"
    assert after.sum() == (result.rounds["accepted_len"] + 1).sum() - (first + 1) > 0
    # What follows the end is no guess that was accepted, nor a level that was tested.
    accepted, counted = result.accepted_in_text, levels(result)
    assert accepted.sum() == first + 1 - (accepted < result.rounds["new_tokens"]).sum()
    assert accepted.sum() < result.rounds["accepted_len"].sum()
    assert (counted.accepted >= 0).sum() == accepted.sum()
    assert len(counted.accepted) == accepted.sum()
    assert result.audit["verdict"] == "passed"


def test_the_text_ends_where_a_string_appears(run) -> None:
    plain = run(ask()).plain_text
    stop = plain[5:7]
    result = run(ask(stop=(stop,)))
    assert result.ended == "stop"
    assert stop in result.text
    assert stop not in result.text[:-1]
    assert result.text == result.plain_text


@pytest.mark.parametrize("drafter", [drafter.slug for drafter in Drafter.registry.all()])
def test_a_prompt_of_one_token_and_one_new_token(run, drafter) -> None:
    result = run(ask("A", drafter=drafter, max_new_tokens=1, add_bos=False))
    assert len(result.prompt_ids) == 1
    assert result.token_ids.tolist() == result.plain_ids.tolist()
    assert result.rounds["drafted"].tolist() == [0]
    assert result.tokens_per_target_call == 1
    longer = run(ask("A", drafter=drafter, max_new_tokens=7, add_bos=False))
    assert longer.token_ids.tolist() == longer.plain_ids.tolist()


def test_the_seed_decides_everything_drawn(run) -> None:
    values = {"drafter": "gumbel_tree", "rule": "recursive", "temperature": 1.5}
    one, again, other = (run(ask(seed=seed, **values)) for seed in (3, 3, 4))
    timed = {"rounds", "prefill_ms", "plain_step_ms"}
    for name in {field.name for field in fields(SpeculationResult)} - timed:
        a, b = getattr(one, name), getattr(again, name)
        same = a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b
        assert same, name
    assert one.token_ids.tolist() != other.token_ids.tolist()


def test_a_repetition_penalty_follows_every_path(run) -> None:
    values = {"repetition_penalty": 1.8, "max_new_tokens": 24}
    for drafter in ("draft_chain", "topk_tree", "token_recycling"):
        result = run(ask(drafter=drafter, **values))
        assert result.token_ids.tolist() == result.plain_ids.tolist()
    plain = run(ask(max_new_tokens=24))
    assert result.token_ids.tolist() != plain.token_ids.tolist()


def test_probabilities_multiply_down_the_tree(run) -> None:
    result = run(ask(drafter="iid_tree", rule="multi_round", temperature=1.0, plain=False))
    nodes = result.nodes
    for node in nodes[nodes["draw_order"] >= 0]:
        parent = nodes[node["parent"]]
        elder = nodes[
            (nodes["parent"] == node["parent"])
            & (nodes["draw_order"] < node["draw_order"])
            & (nodes["draw_order"] >= 0)
        ]
        reach = parent["p_accept_path"] * np.prod(1 - elder["accept_prob"])
        assert node["p_reach"] == pytest.approx(reach, rel=1e-5)
        assert node["p_accept_path"] == pytest.approx(reach * node["accept_prob"], rel=1e-5)
        path_law = parent["logq_path"] + np.log(node["q_raw"])
        assert node["logq_path"] == pytest.approx(path_law, rel=1e-5)
    assert len(result.plain_ids) == 0
    assert np.isnan(result.plain_tokens_per_s)


def test_laws_are_those_of_the_model_reading_the_path(run, target, draft) -> None:
    result = run(ask(drafter="topk_tree", rule="top_k_set", temperature=1.0, max_new_tokens=6))
    nodes, text = result.nodes, [*result.prompt_ids.tolist(), *result.token_ids.tolist()]
    ends = np.cumsum(result.rounds["new_tokens"])
    checked = 0
    for node in nodes[nodes["draw_order"] >= 0]:
        path, at = [], nodes[node["parent"]]
        while at["parent"] >= 0:
            path.append(int(at["token_id"]))
            at = nodes[at["parent"]]
        round_ = node["round"]
        start = len(result.prompt_ids) + int(ends[round_] - result.rounds["new_tokens"][round_])
        ids = torch.tensor([text[:start] + path[::-1]])
        for model, name in ((target, "p_raw"), (draft, "q_raw")):
            with torch.inference_mode():
                probs = model.model(input_ids=ids).logits[0, -1].softmax(-1)
                if model is draft:  # rows of no token are never drafted
                    probs = probs / probs[list(compare(target, draft).draft_ids)].sum()
            assert node[name] == pytest.approx(float(probs[node["token_id"]]), rel=1e-3, abs=1e-6)
            checked += 1
    assert checked > 20


def test_cancel_in_the_middle_stops_and_frees(run) -> None:
    cancel, seen = CancelToken(), []

    def emit(event: Any) -> None:
        seen.append(event)
        if isinstance(event, Progress) and event.done > 25:
            cancel.cancel("enough")

    with pytest.raises(Cancelled, match="enough"):
        run(ask(max_new_tokens=200), emit=emit, cancel=cancel)
    assert all(event.done <= 30 for event in seen if isinstance(event, Progress))


def test_partial_results_are_whole(run, monkeypatch) -> None:
    monkeypatch.setattr("tokenarium.backend.runs.progress.PARTIAL_SECONDS", 0.0)
    seen = []
    final = run(ask(), emit=lambda e: seen.append(e.result) if isinstance(e, Partial) else None)
    assert seen
    for partial in seen:
        count = len(partial.token_ids)
        assert partial.token_ids.tolist() == final.token_ids[:count].tolist()
        assert partial.rounds["new_tokens"].sum() == count
        assert len(partial.nodes) == len(partial.judged_accept)


def test_what_a_result_holds_survives_the_store(run) -> None:
    result = run(ask(drafter="dyspec", rule="recursive", temperature=0.7))
    back = SpeculationResult.from_stored(result.facts(), result.arrays())
    assert back.nodes.tobytes() == result.nodes.tobytes()
    assert back.token_text == result.token_text
    assert back.audit == result.audit


def test_requests_are_refused_in_words() -> None:
    for values, words in (
        ({"rule": "speculative_sampling"}, "temperature"),
        ({"temperature": 1.0}, "choose rule"),
        ({"drafter": "topk_tree", "rule": "speculative_sampling", "temperature": 1.0}, "choose"),
        ({"drafter": "nothing"}, "unknown: choose"),
        ({"rule": "nothing"}, "unknown: choose"),
        ({"drafter": DrafterSpec("draft_chain"), "stop": ("",)}, "empty string"),
        ({"draft_len": 0}, "draft_len"),
    ):
        with pytest.raises(ValueError, match=words):
            ask(**values)
    with pytest.raises(ValueError, match="stop_below"):
        DrafterSpec("draft_chain", stop_below=2)
    assert ask(rule=RuleSpec("greedy")) == ask()


def test_learned_positions_are_never_left(twins, letters) -> None:
    loaded, _ = twins("gpt2")
    room = loaded.context - 2048
    assert room <= 0 or loaded.context == 2048
    with pytest.raises(ValueError, match="learned positions"):
        speculate(
            ask(letters(2040), drafter="prompt_lookup", max_new_tokens=20),
            loaded,
            2048,
            lambda _: None,
            CancelToken(),
        )


def test_pairs_are_many_enough() -> None:
    assert len(PAIRS) >= len(Drafter.registry.all()) * 2
    assert len(list(itertools.groupby(PAIRS, lambda pair: pair[0]))) == len(Drafter.registry.all())


@pytest.mark.parametrize(("drafter", "rule"), [("draft_chain", "speculative_sampling"),
                                               ("prompt_lookup", "sample_and_match")])  # fmt: skip
def test_transformers_own_runs_are_watched_and_audited(run, drafter, rule) -> None:
    greedy = run(ask(drafter=drafter, engine="transformers"))
    assert greedy.token_ids.tolist() == run(ask(drafter=drafter)).plain_ids.tolist()
    assert greedy.drafter == drafter
    assert any("transformers" in note for note in greedy.notes)
    drawn = run(ask(drafter=drafter, rule=rule, temperature=0.5, engine="transformers", seed=2))
    checks = {check["name"]: check["verdict"] for check in drawn.audit["checks"]}
    # What this version really does: it drafts at the square of the temperature.
    assert checks["draft law"] == ("failed" if drafter == "draft_chain" else "not applicable")
    assert len(drawn.nodes) == len(drawn.node_columns) > 0


def test_transformers_is_not_asked_for_what_it_does_not_do() -> None:
    for values, words in (
        ({"drafter": "topk_tree"}, "choose draft_chain or prompt_lookup"),
        ({"rule": "top_k_set", "temperature": 1.0}, "accepts by speculative_sampling here"),
        ({"stop": ("x",)}, "stop is not given"),
    ):
        with pytest.raises(ValueError, match=words):
            ask(engine="transformers", **values)


def test_cancel_stops_transformers(run) -> None:
    cancel_at = iter([False] * 30 + [True] * 10_000)

    class Stubborn(CancelToken):
        def check(self) -> None:
            if next(cancel_at):
                raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        run(ask(engine="transformers"), cancel=Stubborn())
