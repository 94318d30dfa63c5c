"""A step's card is what the run knows, as JSON can hold it; a click names a road."""

import json
import re
from math import prod

import orjson
import pytest
from safetensors import safe_open

from tests.labs import shipped_lab
from tokenarium.backend import (
    ConstraintSpec,
    DecodeEstimate,
    DecodeRequest,
    DecodeResult,
    Lab,
    LogprobsRequest,
    StrategySpec,
    UserError,
)
from tokenarium.backend.models.names import BUNDLED_FOLDER
from tokenarium.ui.components.decode_card import decode_card, decode_sentence
from tokenarium.ui.components.decoding import MOST, RANKS, decoding_value, place_of_road
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.components.response import is_response
from tokenarium.ui.pages.decode import Decode


@pytest.fixture(scope="module")
def lab() -> Lab:
    return shipped_lab()


def test_a_step_says_what_was_taken_and_a_click_goes_on_from_another_token(lab: Lab) -> None:
    spec = StrategySpec("contrastive", candidates=3)
    asked = DecodeRequest(model="bundled/draft", text="Once upon a time", strategies=[spec],
                          max_new_tokens=5)  # fmt: skip
    run = lab.run(asked)
    lane = run.result.lanes[1]  # type: ignore[attr-defined]
    found = orjson.loads(orjson.dumps(step_value(run.result, 1, 2)))  # type: ignore[arg-type]
    assert [one["rank"] for one in found["alternatives"] if one["taken"]] == [
        lane.tokens[2]["rank"]
    ]
    assert len(found["tried"]) == 3
    assert sum(one["kept"] for one in found["tried"]) == 1
    rank = 4
    number = (1 * MOST + 2) * RANKS + rank
    place = len(run.result.lanes[0].token_ids) + 2  # type: ignore[attr-defined]
    assert place_of_road(run.result, number) == (place, rank)
    again = Decode(lab).point(run, number)
    assert isinstance(again, DecodeRequest)
    assert again.begin == (*lane.token_ids[:2].tolist(), int(lane.top_ids[2, rank]))
    road = lab.run(again).result
    assert road.lanes[1].token_ids[:3].tolist() == list(again.begin)  # type: ignore[attr-defined]
    assert Decode(lab).arriving({"branch": f"{run.id}.{place}.{rank}"}, "") == again
    on = Decode(lab).arriving({"branch": f"{run.id}.{place + 2}"}, "")
    assert isinstance(on, DecodeRequest)
    assert on.begin == tuple(lane.token_ids.tolist())


def test_what_a_strategy_notes_is_shown_with_the_notes_of_the_run(lab: Lab) -> None:
    spec = StrategySpec("masked")
    form = ConstraintSpec("regex", pattern="[ab]")
    asked = DecodeRequest(model="bundled/draft", text="Once upon a time", strategies=[spec],
                          max_new_tokens=6, constraint=form)  # fmt: skip
    result = lab.run(asked).result
    value = orjson.loads(decoding_value(result, "x"))  # type: ignore[arg-type]
    plain, masked = value["lanes"]
    said = ["".join(text for text, *_ in note) for note in value["notes"]]
    assert said == list(result.notes)  # type: ignore[attr-defined]
    assert plain["ended"] == "ended at the length"
    assert plain["remarks"] == []
    left = [one for one in masked["remarks"] if "was left by the mask" in str(one["reason"])]
    assert [one["step"] for one in left] == [*range(len(masked["texts"]))]
    assert all(one["times"] == 1 for one in left)


def test_equal_remarks_after_one_another_are_one(lab: Lab) -> None:
    asked = DecodeRequest(model="bundled/draft", text="Once upon", begin=(5, 6, 7),
                          max_new_tokens=5)  # fmt: skip
    result = lab.run(asked).result
    [lane] = orjson.loads(decoding_value(result, None))["lanes"]  # type: ignore[arg-type]
    assert lane["remarks"] == [{"step": 0, "action": "take", "reason": [["given"]], "times": 3}]


def test_the_card_says_what_the_small_model_takes(lab: Lab) -> None:
    words = {}
    for small in ("", "bundled/draft"):
        asked = DecodeRequest(model="bundled/target", text="Once upon a time", max_new_tokens=4,
                              strategies=[StrategySpec("r2r", small_model=small)])  # fmt: skip
        cost = lab.estimate(asked)
        assert isinstance(cost, DecodeEstimate)
        words[small] = decode_card(cost)
    assert "its first 7 layers: no weights more" in words[""]
    with safe_open(BUNDLED_FOLDER / "draft" / "model.safetensors", "numpy") as file:
        count = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    weights = f"{4 * count / 2**20:.1f} MiB of weights more"  # in float32
    assert f"bundled/draft: {weights}" in words["bundled/draft"]
    assert all("Peak memory" in card for card in words.values())


def test_an_address_that_names_no_token_is_refused_in_words(lab: Lab) -> None:
    page = Decode(lab)
    assert page.arriving({"lesson": "sinks"}, "") is None
    for wrong in ("", "x", "x.1.2.3", "x.one"):
        with pytest.raises(UserError, match=r"give RUN\.PLACE or RUN\.PLACE\.RANK"):
            page.arriving({"branch": wrong}, "")
    with pytest.raises(UserError, match="nobody"):
        page.arriving({"branch": "nobody.1.2"}, "")


RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "some/model",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {
                        "token": "He",
                        "logprob": -0.5,
                        "bytes": None,
                        "top_logprobs": [
                            {"token": "He", "logprob": -0.5, "bytes": None},
                            {"token": "It", "logprob": -1.2, "bytes": None},
                        ],
                    },
                    {"token": "y", "logprob": -0.1, "bytes": None, "top_logprobs": []},
                ]
            },
        }
    ],
}


def test_a_pasted_response_is_shown_without_a_model(lab: Lab) -> None:
    content, page = json.dumps(RESPONSE), Decode(lab)
    [asked] = page.requests({"text": content, "turns": None})
    assert isinstance(asked, LogprobsRequest)
    run = lab.run(asked)
    result = run.result
    assert isinstance(result, DecodeResult)
    value = orjson.loads(decoding_value(result, run.id))
    [lane] = value["lanes"]
    assert value["imported"]
    assert lane["texts"] == ["He", "y"]
    assert lane["entropy"][0] > 0
    assert lane["entropy"][1] is None
    said = "".join(text for text, *_ in lane["cost"])
    assert said == f"2 tokens · mean entropy at least {lane['entropy'][0]:.2f} nats"
    found = orjson.loads(orjson.dumps(step_value(result, 0, 0)))
    assert found["passes"] is None
    assert found["stages"][0][1] is None
    assert [one["text"] for one in found["alternatives"]] == ["He", "It"]
    assert "lower bounds" in decode_sentence(result)
    with pytest.raises(UserError, match="was written elsewhere"):
        page.point(run, 1)
    assert page.filled(asked) == {"text": content}


def test_a_response_left_behind_a_chat_is_not_asked_again(lab: Lab) -> None:
    said = {"chat": True, "turns": [{"role": "user", "content": "Hello"}]}
    asked = {"model": "bundled/target", "strategies": ["greedy"], "parameters": {}, "seed": 0,
             "constraint": ""}  # fmt: skip
    asked |= {"max_new_tokens": 4, "text": json.dumps(RESPONSE), "turns": said}
    [found] = Decode(lab).requests(asked)
    assert isinstance(found, DecodeRequest)
    assert found.messages[0].content == "Hello"


def test_a_prompt_in_braces_is_no_response() -> None:
    assert not is_response('{"name": "Ada"')
    assert not is_response('say "logprobs"')


def test_a_strategy_that_does_not_keep_the_constraint_says_so(lab: Lab) -> None:
    both = [StrategySpec("rectification"), StrategySpec("masked")]
    asked = DecodeRequest(model="bundled/draft", text="Once upon a time", max_new_tokens=4,
                          strategies=both)  # fmt: skip
    for pattern, kept in (("[0-9]{9}", False), ("[a-z ,]+", True)):
        form = ConstraintSpec("regex", pattern=pattern)
        result = lab.run(asked.model_copy(update={"constraint": form})).result
        assert isinstance(result, DecodeResult)
        told = [note for note in result.notes if "breaks the constraint" in note]
        text = result.lanes[1].text
        assert bool(re.fullmatch("[0-9]*" if not kept else pattern, text)) is kept
        assert [note.split(": ")[0] for note in told] == (
            [] if kept else ["Dead-end rectification breaks the constraint at step 1"]
        )
