"""Figures as engines write them: read, checked against each other, and refused in words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import (
    ImportRequest,
    ImportResult,
    Lab,
    SpeculateRequest,
    UserError,
    definitions,
    totals_of_run,
)
from tokenarium.backend.imports.record import ImportedRequest, ReportedRound
from tokenarium.backend.imports.runner import token_sources

VLLM: dict[str, Any] = {
    "mean_acceptance_length": 1 + 10 / 43,
    "draft_acceptance_rate": 10 / 129,
    "acceptance_histogram": [39, 1, 0, 3],
    "num_spec_steps": 43,
    "num_accepted_draft_tokens": 10,
    "num_draft_tokens": 129,
    "num_spec_tokens": 3,
}
DETAILED: dict[str, Any] = {
    "mean_acceptance_length": 2.0,
    "draft_acceptance_rate": 3 / 7,
    "acceptance_histogram": [1, 1, 1, 0],
    "num_spec_steps": 3,
    "num_accepted_draft_tokens": 3,
    "num_draft_tokens": 7,
    "num_spec_tokens": 3,
    "per_step_accepted": [2, 0, 1],
    "per_step_drafted": [3, 3, 1],
}
SGLANG: dict[str, Any] = {
    "completion_tokens": 106,
    "spec_accept_rate": 63 / 215,
    "spec_accept_length": 106 / 43,
    "spec_num_correct_drafts": 63,
    "spec_num_proposed_drafts": 215,
    "spec_verify_ct": 43,
    "spec_correct_drafts_histogram": [11, 14, 11, 4, 0, 3],
}
LLAMA = """
I slot print_timing: id  1 | task 7 | prompt eval time =  300.11 ms /    20 tokens (   15.01 ms)
I slot print_timing: id  1 | task 7 |        eval time = 2296.72 ms /   256 tokens (    8.97 ms)
I slot print_timing: id  1 | task 7 | draft acceptance = 0.64479 (  167 accepted /   259 generated)\
, mean acceptance length =  2.92, acceptance rate per position = (0.805, 0.632, 0.483)
I statistics     draft-eagle3: #calls(b,g,a) =    1     87     87, #gen drafts =     87, \
#acc drafts =    70, #gen tokens =    259, #acc tokens =   167, dur(b,g,a) = 0.005, 325.5, 0.114 ms
"""
OLDER = "draft acceptance rate = 0.57576 (  171 accepted /   297 generated)"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def read(lab: Lab, content: Any, **values: Any) -> ImportResult:
    text = content if isinstance(content, str) else json.dumps(content)
    result: ImportResult = lab.import_run(text, **values).result
    return result


def values(result: ImportResult) -> list[float | None]:
    return [each["value"] for each in result.definitions]


def verdicts(result: ImportResult) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in result.audit["checks"]}


def vllm(metrics: dict[str, Any], tokens: int) -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "model": "org/model",
        "choices": [],
        "usage": {"completion_tokens": tokens},
        "metrics": {"speculative_decoding": metrics},
    }


def test_vllm_says_how_often_but_not_when(lab: Lab) -> None:
    found = read(lab, vllm(VLLM, 53))
    assert (found.format, found.model, found.request_name) == ("vllm", "org/model", ("cmpl-1",))
    assert found.requests.tolist() == [(43, 129, 10, 53, 0)]
    np.testing.assert_allclose(found.position_share, [4 / 43, 3 / 43, 3 / 43], rtol=1e-6)
    assert values(found)[:4] == pytest.approx([53 / 43, 53 / 43, 10 / 43, 10 / 129])
    assert values(found)[4] == pytest.approx(10 / 50)  # 40 rounds reject
    assert set(verdicts(found).values()) == {"passed"}
    assert "how often, not when" in found.notes[0]


def test_vllm_in_detail_has_rounds_in_order_of_any_width(lab: Lab) -> None:
    found = read(lab, f"data: {json.dumps(vllm(DETAILED, 6))}\n\ndata: [DONE]\n")
    assert found.rounds.tolist() == [(0, 3, 2), (0, 3, 0), (0, 1, 1)]
    assert found.position_drafted.tolist() == [3, 2, 2]
    assert found.position_accepted.tolist() == [2, 1, 0]
    assert found.requests["ordered"].tolist() == [1]


def test_sglang_has_several_names_for_the_same_counts(lab: Lab) -> None:
    newer = read(lab, {"text": "x", "meta_info": SGLANG})
    older = {
        "completion_tokens": 106,
        "spec_verify_ct": 43,
        "spec_accept_token_num": 63,
        "spec_draft_token_num": 215,
        "spec_accept_histogram": SGLANG["spec_correct_drafts_histogram"],
    }
    chat = {"choices": [], "sglext": {"spec_tokens_details": SGLANG}}
    for other in ([{"meta_info": older}], chat):
        assert read(lab, other).requests.tolist() == newer.requests.tolist()
    assert newer.format == "sglang"
    assert values(newer)[:4] == pytest.approx([106 / 43, 106 / 43, 63 / 43, 63 / 215])
    stats = {"verify_lengths": [5, 5, 2], "accept_lengths": [1, 5, 0]}
    ordered = read(lab, {"meta_info": {"speculative_decoding_stats": stats}})
    assert ordered.rounds["accepted"].tolist() == [1, 5, 0]
    assert ordered.rounds["drafted"].tolist() == [5, 5, 2]


def test_llama_cpp_says_sums_in_its_log_and_shares_where_it_is_new_enough(lab: Lab) -> None:
    found = read(lab, LLAMA)
    assert (found.format, found.request_name) == ("llama_cpp", ("task 7",))
    assert found.requests.tolist() == [(87, 259, 167, 256, 1)]
    np.testing.assert_allclose(found.position_share, [0.805, 0.632, 0.483], rtol=1e-6)
    assert values(found)[0] == pytest.approx(2.92, abs=0.005)
    assert verdicts(found)["ratios"] == "passed"
    old = read(lab, f"{OLDER}\n{LLAMA}")
    assert old.requests["accepted"].tolist() == [171, 167]
    assert old.requests["rounds"].tolist() == [-1, 87]
    response = {"timings": {"predicted_n": 200, "draft_n": 347, "draft_n_accepted": 65}}
    assert read(lab, response).requests.tolist() == [(-1, 347, 65, 200, 1)]


def test_json_lines_say_which_tokens_were_drafted(lab: Lab) -> None:
    line = {
        "engine": "mine",
        "model": "m",
        "token_ids": [4, 5, 6, 7, 8],
        "logprobs": [-0.1, -0.2, -0.3, -0.4, -0.5],
        "rounds": [{"drafted": 3, "accepted": 2}, {"drafted": 2, "accepted": 1}],
    }
    found = read(lab, line)
    assert found.format == "generic"
    assert found.token_ids.tolist() == [4, 5, 6, 7, 8]
    assert found.token_source.tolist() == [1, 1, 2, 1, 2]
    np.testing.assert_allclose(found.token_logprob, line["logprobs"], rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "sources"),
    [(5, [1, 1, 2, 1, 2]), (6, [3, 1, 1, 2, 1, 2]), (4, [1, 1, 2, 1]), (3, [0] * 3), (9, [0] * 9)],
)
def test_sources_of_tokens_are_said_only_where_they_follow(count: int, sources: list[int]) -> None:
    request = ImportedRequest(rounds=(ReportedRound(3, 2), ReportedRound(2, 1)))
    assert token_sources(request, count) == sources


def test_figures_that_contradict_each_other_are_said(lab: Lab) -> None:
    wrong = {**VLLM, "num_accepted_draft_tokens": 11}
    assert verdicts(read(lab, vllm(wrong, 53)))["counts"] == "failed"
    wrong = {**SGLANG, "spec_accept_length": 2.0}
    assert verdicts(read(lab, {"meta_info": wrong}))["ratios"] == "failed"
    assert verdicts(read(lab, vllm(VLLM, 20)))["tokens of the text"] == "failed"
    later = LLAMA.replace("0.483", "0.283")
    assert verdicts(read(lab, later))["ratios"] == "failed"


def test_definitions_of_an_own_run_are_those_of_its_rounds(lab: Lab) -> None:
    request = SpeculateRequest(
        model="bundled/draft", text="a b c a b c a b", drafter="prompt_lookup", max_new_tokens=12
    )
    result = lab.run(request).result
    totals = totals_of_run(result)
    assert (totals.rounds, totals.tokens) == (len(result.rounds), len(result.token_ids))
    told = {each.title: each.value for each in definitions(totals)}
    assert told["tokens per verification"] == pytest.approx(result.tokens_per_target_call)


def test_a_file_and_its_content_are_one_run(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "vllm.json"
    file.write_text(json.dumps(vllm(VLLM, 53)))
    run = lab.import_run(file)
    assert lab.import_run(str(file)).id == run.id
    assert run.request.name == "vllm.json"  # type: ignore[attr-defined]
    assert lab.open(run.id).result.requests.tolist() == run.result.requests.tolist()
    assert [found.id for found in lab.search(kind="import", text="vllm.json")] == [run.id]


HOSTILE = [
    ("", "content is empty"),
    ("hello", "of no format that is known here"),
    ('{"a": 1}', "of no format that is known here"),
    ('{"token_ids": [1, NaN]}', "no JSON"),
    ("[" * 100_000, "depth limit"),
    ("x" * 1_000_001, "1000000 characters"),
    ('{"token_ids": [1], "logprobs": [1e999]}', "no finite number|no JSON"),
    ('{"token_ids": [1], "logprobs": [-1, -2]}', "line 1: token_ids has 1, logprobs has 2"),
    ('{"token_ids": ["<script>"]}', "line 1: token_ids.0"),
    ('{"token_ids": [-5]}', "line 1: token_ids.0=-5"),
    ('{"text": "a"}\n[1, 2]', "line 2: 1 is no JSON object"),
    ('null\n{"text": "a"}', "does not begin with"),
    ('{"text": "a"}\n{"text": "b', "line 2: unexpected end of data"),
    ('{"text": "a"}\n' * 20_001, "20,001 lines, over 20,000"),
    ('{"rounds": [{"drafted": 1, "accepted": 3}]}', "line 1: accepted=3 is above drafted=1"),
    ('{"rounds": [{"drafted": 1, "accepted": 0}], "x": 1}', "line 1: x="),
    (json.dumps({**VLLM, "acceptance_histogram": [10**12]}), "is no count"),
    (json.dumps({**VLLM, "acceptance_histogram": [2**30]}), "counts 1,073,741,824 rounds"),
    (json.dumps({**VLLM, "acceptance_histogram": "many"}), "no list of counts"),
    (json.dumps({**DETAILED, "per_step_drafted": [1, 3, 1]}), "above per_step_drafted"),
    (json.dumps({**DETAILED, "per_step_drafted": [3]}), "both are one a round"),
    (json.dumps({**VLLM, "mean_acceptance_length": -1}), "is no ratio"),
    (OLDER.replace("171", "999"), "no run accepts more"),
    ('{"spec_verify_ct": true}', "spec_verify_ct=True is no count"),
]


@pytest.mark.parametrize(("content", "words"), HOSTILE)
def test_what_cannot_be_read_is_refused_in_words(lab: Lab, content: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        lab.import_run(content)
    assert len(str(raised.value)) < 1_500


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_lines_end_where_json_lines_do(lab: Lab, end: str) -> None:
    texts = ("one\u2028two", "three\x85four", "five\u2029")
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    assert lab.import_run(end.join(lines) + end).result.texts == texts  # type: ignore[attr-defined]


def test_a_format_that_is_named_is_the_one_that_reads(lab: Lab) -> None:
    with pytest.raises(UserError, match="no spec_verify_ct is there"):
        read(lab, VLLM, format="sglang")
    with pytest.raises(UserError, match="format='vlm' is unknown: choose auto, generic"):
        read(lab, VLLM, format="vlm")
    with pytest.raises(UserError, match="of no format"):
        lab.import_run("/nowhere/file.json")


def test_every_format_reads_nothing_as_nothing(lab: Lab) -> None:
    for reader in lab.methods("format"):
        with pytest.raises(UserError):
            read(lab, "{}", format=reader.slug)
        assert reader.explanation.endswith(".")


def test_no_model_is_asked_for(lab: Lab) -> None:
    request = lab.request(ImportRequest, content=json.dumps(VLLM), model="no such model")
    assert lab.estimate(request) is None
    assert lab.run(request).result.model == "no such model"
