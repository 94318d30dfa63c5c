"""Runs of every kind pass their audit, and what is changed in their records afterwards is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models.conftest import save_model
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.auditing.run import audit
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.runner import speculate

Pair = tuple[LoadedModel, LoadedModel]
GREEDY = [
    "prompt_lookup",
    "trie_lookahead",
    "token_recycling",
    "draft_chain",
    "topk_tree",
    "dyspec",
    "gumbel_tree",
    "iid_tree",
    "early_exit",
]
SAMPLED = [
    ("draft_chain", "speculative_sampling"),
    ("early_exit", "speculative_sampling"),
    ("iid_tree", "multi_round"),
    ("iid_tree", "k_seq"),
    ("gumbel_tree", "recursive"),
    ("dyspec", "recursive"),
    ("topk_tree", "top_k_set"),
    ("token_recycling", "sample_and_match"),
    ("trie_lookahead", "sample_and_match"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tiny target and a smaller draft of the same tokens."""
    found = []
    for name, changes in (("target", {}), ("draft", {"num_hidden_layers": 1})):
        folder: Path = tmp_path_factory.mktemp(name)
        save_model(folder, "llama", max_position_embeddings=512, **changes)
        source = ModelSource(f"local/{name}", folder, None, name)
        found.append(load(source, "float32", "cpu", 256))
    return found[0], found[1]


def run(
    pair: Pair, drafter: str, rule: str, temperature: float, **more: object
) -> tuple[SpeculateRequest, SpeculationResult]:
    request = SpeculateRequest(
        model="local/target",
        prompt="hello hello world, hello world",
        drafter=drafter,
        draft_model="local/draft",
        rule=rule,
        temperature=temperature,
        **{"max_new_tokens": 40, "tree_budget": 8, "seed": 1} | more,
    )
    beside = {"local/draft": pair[1]} if request.beside else {}
    return request, speculate(request, pair[0], 128, lambda _: None, CancelToken(), beside)


def again(pair: Pair, request: SpeculateRequest, result: SpeculationResult) -> dict[str, str]:
    draft = pair[1] if request.beside else None
    found = audit(result, request, pair[0], draft)
    return {check.name: check.verdict for check in found.checks}


@pytest.mark.parametrize("drafter", GREEDY)
def test_greedy_runs_pass_their_audit(pair: Pair, drafter: str) -> None:
    request, result = run(pair, drafter, "greedy", 0, max_new_tokens=16)
    assert result.audit["verdict"] == "passed"
    found = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert again(pair, request, result) == found
    assert found["greedy identity"] == found["target law"] == found["counts"] == "passed"
    assert found["drafted tokens"] == "not applicable"
    text_only = drafter in GREEDY[:3]
    assert found["draft law"] == ("not applicable" if text_only else "passed")


@pytest.mark.parametrize(("drafter", "rule"), SAMPLED)
def test_sampled_runs_pass_their_audit(pair: Pair, drafter: str, rule: str) -> None:
    _, result = run(pair, drafter, rule, 0.7, top_p=0.9, repetition_penalty=1.2, plain=False)
    assert result.audit["verdict"] == "passed"
    found = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert found["greedy identity"] == "not applicable"
    assert found["target law"] == found["counts"] == "passed"
    drawn = result.draw != "deterministic"
    assert found["drafted tokens"] == ("passed" if drawn else "not applicable")


def changed(result: SpeculationResult, column: str, by: float) -> SpeculationResult:
    """The result with a column of the first round's first guess changed."""
    nodes = result.node_columns.copy()
    nodes[column][np.flatnonzero(nodes["draw_order"] >= 0)[0]] += by
    return replace(result, node_columns=nodes)


def test_audit_finds_other_probabilities(pair: Pair) -> None:
    request, result = run(pair, "gumbel_tree", "recursive", 0.7, plain=False)
    for column, name in (("q_raw", "draft law"), ("p_raw", "target law")):
        found = again(pair, request, changed(result, column, 0.01))
        assert {said for said, verdict in found.items() if verdict == "failed"} == {name}


def test_audit_finds_another_text(pair: Pair) -> None:
    request, result = run(pair, "topk_tree", "greedy", 0)
    tokens = result.token_ids.copy()
    tokens[5] += 1
    found = again(pair, request, replace(result, token_ids=tokens))
    assert found["greedy identity"] == found["counts"] == "failed"


def test_audit_finds_drafts_of_another_temperature(pair: Pair) -> None:
    request, result = run(pair, "draft_chain", "speculative_sampling", 0.7, plain=False)
    asked = request.model_copy(update={"temperature": 1.4})
    found = again(pair, asked, result)
    assert found["draft law"] == found["target law"] == "failed"


def test_audit_finds_tokens_that_were_not_drawn(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenarium.backend.speculation import draft_state

    def likeliest(self, probs, counts, how):
        return [[int(row.argmax())] for row in probs]

    monkeypatch.setattr(draft_state.DraftState, "choose", likeliest)
    _, result = run(pair, "draft_chain", "speculative_sampling", 1.5, max_new_tokens=80, seed=2)
    found = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert found["drafted tokens"] == "failed"
    assert found["draft law"] == found["target law"] == found["counts"] == "passed"
