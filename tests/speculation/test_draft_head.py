"""A draft head in a run: what it reads, whose it is, and who guessed in every round."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contracts.test_drafters import rounds
from tests.speculation.conftest import Starts, loaded_from, text_ids
from tests.speculation.heads import matching_folder, random_head
from tokenarium.backend import Lab
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.jobs import CancelToken
from tokenarium.backend.settings import Settings
from tokenarium.backend.speculation import draft_heads, head_folders
from tokenarium.backend.speculation.auditing.draft_checks import DraftedChildren
from tokenarium.backend.speculation.auditing.plain_head import PlainHead
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.auditing.run import audit
from tokenarium.backend.speculation.drafters.feature_head import FeatureHead
from tokenarium.backend.speculation.drafters.lookup_else import LookupElse
from tokenarium.backend.speculation.drafters.prompt_lookup import PromptLookup
from tokenarium.backend.speculation.head_reader import HeadReader
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.state_heads.own import OwnHead

PROMPT = "THE CAT SAT ON THE CAT SAT"


def run(target: LoadedModel, **values: Any) -> SpeculationResult:
    asked = {"model": "target", "max_new_tokens": 20, "draft_len": 3, "rule": "greedy"}
    request = SpeculateRequest(text=PROMPT, **(asked | values))
    return speculate(request, target, 2048, lambda _: None, CancelToken(), {})


@torch.inference_mode()
def test_every_guess_is_that_of_one_pass_over_the_whole_text(
    starts: Starts, target: LoadedModel
) -> None:
    one = FeatureHead()
    state = starts(one, text_ids(12), draft_len=4)
    plain = PlainHead(OwnHead(target), PlainReader(target), (), 4)
    seen = 0
    for _ in range(4):
        before = list(state.ids)
        plain._text, plain._states = before, None
        [tree] = rounds(one, state, 1)
        for node, probs in tree.draft_probs.items():
            path = [tree.tokens[above] for above in tree.path(node)[1:]]
            logits = plain(DraftedChildren((*before, *path), (), (), depth=len(path)))
            own = state.processors.soft_probs(logits[None])[0]
            torch.testing.assert_close(probs, own, rtol=1e-4, atol=1e-6)
            seen += bool(path)
    assert seen > 4


@torch.inference_mode()
def test_branches_read_their_own_ancestors_alone(target: LoadedModel) -> None:
    ids = text_ids(9)
    states = PlainReader(target).states(ids)

    def reader() -> HeadReader:
        found = HeadReader(OwnHead(target), lambda start: states[start:-1], 4)
        found.extend(ids)
        return found

    both = reader()
    both.read([61, 62], [-1, -1])
    together = both.read([63, 64], [0, 1])
    for path, row in (([61, 63], 0), ([62, 64], 1)):
        alone = reader()
        alone.read(path[:1], [-1])
        torch.testing.assert_close(alone.read(path[1:], [0])[0], together[row])


def test_states_are_those_of_the_text_after_branches_were_dropped(target: LoadedModel) -> None:
    ids, reader = text_ids(7), TreeReader(target, 20, keep_states=())
    reader.extend(ids[:4])
    reader.read([ids[4], 60, ids[5], 61], [-1, -1, 0, 1])
    assert reader.keep([0, 2]) == 2
    reader.extend(ids[6:])
    plain = PlainReader(target).states(ids)
    torch.testing.assert_close(reader.states(0), plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reader.states(5), plain[5:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_is_audited_guess_by_guess(target: LoadedModel, temperature: float) -> None:
    rule = "greedy" if temperature == 0 else "speculative_sampling"
    result = run(target, drafter="feature_head", rule=rule, temperature=temperature)
    verdicts = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert verdicts["draft law"] == "passed"
    assert "failed" not in verdicts.values()
    nodes = result.node_columns
    drafted = nodes["parent"] >= 0
    wrong = replace(result, node_columns=nodes.copy())
    wrong.node_columns["q_raw"][drafted] *= 0.9
    request = SpeculateRequest(
        model="target",
        text=PROMPT,
        drafter="feature_head",
        draft_len=3,
        rule=rule,
        temperature=temperature,
    )
    checks = audit(wrong, request, target, None).as_dict()["checks"]
    assert {check["name"]: check["verdict"] for check in checks}["draft law"] == "failed"


@torch.inference_mode()
def test_lookup_goes_first_and_the_head_where_it_finds_nothing(starts: Starts) -> None:
    repeated, fresh = [60, 61, 62, 63, 60, 61], [60, 61, 62, 63, 64, 65]
    one, lookup = LookupElse(), PromptLookup()
    copied = one.propose(starts(one, repeated))
    assert copied.tokens == lookup.propose(starts(lookup, repeated)).tokens
    assert copied.sources[1] == "2-gram"
    guessed = one.propose(starts(one, fresh))
    assert set(guessed.sources[1:]) == {"draft head"}
    strict = LookupElse(shortest=3)
    assert set(strict.propose(starts(strict, repeated)).sources[1:]) == {"draft head"}


@torch.inference_mode()
def test_an_unsure_head_ends_its_chain(starts: Starts) -> None:
    fresh = [60, 61, 62, 63, 64, 65]
    for one in (FeatureHead(stop_below=1.0), LookupElse(stop_below=1.0)):
        assert len(one.propose(starts(one, fresh))) == 2


def test_a_head_belongs_to_the_model_that_it_was_trained_with(
    target: LoadedModel, tmp_path: Path
) -> None:
    other = loaded_from(tmp_path / "other", num_hidden_layers=1)
    with torch.no_grad():
        weights: Any = other.model.get_input_embeddings()
        weights.weight.normal_(generator=torch.Generator().manual_seed(9))
    random_head(target, tmp_path / "heads" / "own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_folders, "own_folder", lambda: tmp_path / "heads")
        assert matching_folder(target) == tmp_path / "heads" / "own"
        assert matching_folder(other) is None


def test_a_model_without_a_head_is_refused_with_what_to_do(
    target: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_heads, "matching_folder", lambda _: None)
    with pytest.raises(ValueError, match=r"no draft head is at hand.*choose smollm2.*train one"):
        run(target, drafter="feature_head")


def test_a_run_is_found_again_as_long_as_its_head_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, target = tmp_path / "heads", loaded_from(tmp_path / "models" / "small")
    monkeypatch.setattr(head_folders, "own_folder", lambda: heads)
    random_head(target, heads / "own")
    settings = Settings(database="duckdb:///:memory:", models_dir=tmp_path / "models")
    with closing(Lab(settings)) as lab:

        def again(drafter: str) -> bool:
            asked = SpeculateRequest(
                model=target.name, text=PROMPT, drafter=drafter, rule="greedy", max_new_tokens=4
            )
            return lab.run(asked).cached

        drafters = ("feature_head", "prompt_lookup")
        assert [again(one) for one in drafters] == [False, False]
        assert [again(one) for one in drafters] == [True, True]
        random_head(target, heads / "own", seed=1)
        assert [again(one) for one in drafters] == [False, True], "only what a head drafted is new"
