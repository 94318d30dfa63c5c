"""Responses with log probabilities: both forms and streams, what is refused, and what is made."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import Lab, LogprobsRequest, UserError
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.logprobs.decoded import as_decoded, bounds, rank
from tokenarium.backend.logprobs.reading import parse, read_logprobs, recognises
from tokenarium.backend.logprobs.response import GivenText, GivenToken


def entry(token: str, log_prob: float, **top: float) -> dict[str, Any]:
    listed = [{"token": name, "logprob": log, "bytes": None} for name, log in top.items()]
    return {"token": token, "logprob": log_prob, "bytes": None, "top_logprobs": listed}


CONTENT = [
    entry("He", math.log(0.6), He=math.log(0.6), It=math.log(0.3)),
    entry("y", math.log(0.05), x=math.log(0.9), y=math.log(0.05)),
]
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "some/model",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": CONTENT}}],
}
COMPLETION = {
    "id": "cmpl-1",
    "model": "some/model",
    "prompt": "Say",
    "choices": [
        {
            "text": "Say He",
            "finish_reason": "length",
            "logprobs": {
                "tokens": ["Say", " He"],
                "token_logprobs": [None, -0.5],
                "top_logprobs": [None, {" It": -1.5, " He": -0.5}],
                "text_offset": [0, 3],
            },
        }
    ],
}


def test_a_chat_completion_is_read() -> None:
    [text] = read_logprobs(CHAT)
    assert (text.text, text.model, text.ended) == ("Hey", "some/model", "stop")
    assert text.tokens[0].top[0] == ("He", pytest.approx(math.log(0.6)))
    assert text.tokens[1].top == (("x", math.log(0.9)), ("y", math.log(0.05)))
    assert recognises(CHAT)


def test_a_completion_is_read_without_the_first_token_of_an_echoed_prompt() -> None:
    [text] = read_logprobs(COMPLETION)
    assert text.tokens == (GivenToken(" He", -0.5, ((" He", -0.5), (" It", -1.5))),)
    assert text.prompt == "Say"
    assert text.ended == "length"


def test_a_stream_is_joined_by_choice() -> None:
    lines = [
        {"id": "a", "choices": [{"index": n, "logprobs": {"content": [entry(t, -1.0)]}}]}
        for n, t in ((0, "A"), (1, "B"), (0, "C"))
    ]
    lines.append({"id": "a", "choices": [{"index": 1, "finish_reason": "stop"}]})
    stream = "\n\n".join(f"data: {json.dumps(line)}" for line in lines) + "\n\ndata: [DONE]\n"
    texts = read_logprobs(parse(stream))
    assert [text.text for text in texts] == ["AC", "B"]
    assert [text.ended for text in texts] == ["", "stop"]


def test_request_beside_response_gives_the_prompt() -> None:
    logged = {"request": {"messages": [{"role": "user", "content": "Hi"}]}, "response": CHAT}
    [text] = read_logprobs(logged)
    assert text.prompt == "Hi"
    assert text.text == "Hey"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"object": "list"}, "this has no choices"),
        ({"choices": [{"message": {"content": "x"}, "logprobs": None}]}, "no log probabilities"),
        ({"choices": [{"logprobs": {"content": [{"logprob": -1}]}}]}, r"content\[0\] has no token"),
        ({"choices": [{"logprobs": {"content": [entry("a", 0.5)]}}]}, "logprob=0.5 is above 0"),
        (
            {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": "x"}]}}]},
            "logprob='x' is no number",
        ),
        (
            {"choices": [{"logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1]}}]},
            "2 tokens, 1 token_logprobs and 2",
        ),
        ({"choices": [{"logprobs": {"content": 3}}]}, "content is a int, not a list"),
        ([{"choices": [{"logprobs": {"content": CONTENT}}] * 17}], "17 texts, over 16"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_logprobs(value)


@pytest.mark.parametrize("text", ["", "  \n", "nothing here", '{"a": 1'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="paste a"):
        parse(text)


def test_it_becomes_a_decoding_run() -> None:
    found = as_decoded(read_logprobs(CHAT) + read_logprobs(COMPLETION))
    first, second = found.lanes
    assert first.token_text == ("He", "y")
    assert (first.text, second.text) == ("Hey", " He")
    assert (first.passes, first.parameters, first.strategy) == (-1, {}, "imported")
    assert first.tokens["probability"] == pytest.approx([0.6, 0.05])
    assert first.tokens["rank"].tolist() == [0, 1]
    assert [found.choice_text[str(key)] for key in first.top_ids[1, :2]] == ["x", "y"]
    assert first.top_probs[1, 0, :2] == pytest.approx([0.9, 0.05])
    assert (first.top_ids[:, 2:] == -1).all()
    assert found.prompt == "Say"
    assert first.journal["token"].tolist() == first.token_ids.tolist()
    assert first.journal["entropy_after_nats"][0] == pytest.approx(first.entropy_nats[1])
    stored = DecodeResult.from_stored(found.facts(), found.arrays())
    assert stored.facts() == found.facts()
    assert set(found.quantities()) == set(found.facts()) | set(found.arrays())


def test_entropy_is_a_lower_bound_that_is_reached_where_all_is_given() -> None:
    law = np.array([0.5, 0.25, 0.15, 0.1])
    names = "abcd"
    exact = float(-(law * np.log(law)).sum())
    spread = float((law * (-np.log(law) - exact) ** 2).sum())
    every = tuple(zip(names, np.log(law), strict=True))
    assert bounds(GivenToken("a", every[0][1], every)) == pytest.approx((exact, spread))
    some = bounds(GivenToken("a", every[0][1], every[:2]))
    lumped = np.array([0.5, 0.25, 0.25])
    assert some[0] == pytest.approx(float(-(lumped * np.log(lumped)).sum()))
    assert some[0] < exact
    # The token itself is known, also where it is none of the likeliest.
    assert bounds(GivenToken("d", every[3][1], every[:3]))[0] == pytest.approx(exact)
    assert all(map(math.isnan, bounds(GivenToken("a", -1.0))))


def test_a_rank_is_known_only_among_the_given() -> None:
    top = (("a", -0.1), ("b", -3.0))
    assert rank(GivenToken("b", -3.0, top)) == 1
    assert rank(GivenToken("c", -9.0, top)) == -1


def test_a_text_without_alternatives_has_surprisals_alone() -> None:
    found = as_decoded([GivenText((GivenToken("a", -1.0), GivenToken("b", -2.0)))])
    assert found.lanes[0].tokens["probability"] == pytest.approx(np.exp([-1.0, -2.0]))
    assert np.isnan(found.lanes[0].entropy_nats).all()
    assert (found.top_ids == -1).all()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def test_a_response_is_imported_without_a_model_and_stored(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "response.json"
    file.write_text(json.dumps(CHAT))
    run = lab.import_run(file)
    assert isinstance(run.request, LogprobsRequest)
    assert run.request.name == "response.json"
    assert isinstance(run.result, DecodeResult)
    assert run.result.lanes[0].text == "Hey"
    assert lab.import_run(file).id == run.id
    assert lab.open(run.id).result.lanes[0].tokens["rank"].tolist() == [0, 1]
    assert lab.import_run(json.dumps(COMPLETION), "logprobs").result.prompt == "Say"
    with pytest.raises(UserError, match="no log probabilities"):
        lab.import_run('{"choices": [{"message": {"content": "x"}}]}', "logprobs")


def test_figures_of_drafting_beside_logprobs_are_read_as_such(lab: Lab) -> None:
    both = {**CHAT, "metrics": {"speculative_decoding": {"acceptance_histogram": [1, 2]}}}
    plain = lab.import_run(json.dumps(both), "logprobs")
    assert plain.request.kind == "logprobs"
    assert lab.import_run(json.dumps(both)).request.kind == "import"
