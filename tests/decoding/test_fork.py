"""A place in a stored run, and what writes on from there: prompt and forced tokens id for id."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import (
    DecodeRequest,
    DecodeResult,
    Lab,
    Partial,
    SpeculateRequest,
    SpeculationResult,
    TraceRequest,
    TraceResult,
    UserError,
    fork,
)

MODEL = "bundled/target"
TEXT = "Once upon a time there was an unbelievable heron"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def written(lab: Lab, request: DecodeRequest) -> DecodeResult:
    result = lab.run(request.model_copy(update={"max_new_tokens": len(request.begin) + 3})).result
    assert isinstance(result, DecodeResult)
    return result


def test_a_token_of_a_trace_is_left_for_another_even_within_a_word(lab: Lab) -> None:
    run = lab.run(TraceRequest(model=MODEL, text=TEXT))
    trace = run.result
    assert isinstance(trace, TraceResult)
    for place, rank in ((0, 3), (trace.length - 2, 1), (trace.length - 1, 0)):
        request = fork(run, place, rank)
        assert TEXT.startswith(request.text)
        found = written(lab, request)
        assert found.prompt_ids.tolist() == trace.token_ids[: place + 1].tolist()
        lane = found.lanes[0]
        assert lane.token_ids[0] == trace.top_ids[place, rank]
        assert lane.tokens["probability"][0] == pytest.approx(
            trace.top_probs[place, rank], rel=1e-3
        )
    on = fork(run, trace.length - 1)
    assert on.begin == ()
    assert written(lab, on).lanes[0].token_ids[0] == trace.top_ids[-1, 0]


def test_turns_are_cut_where_the_token_stands(lab: Lab) -> None:
    run = lab.open("example-two-questions")
    trace, asked = run.result, run.request
    assert isinstance(trace, TraceResult)
    assert isinstance(asked, TraceRequest)
    for turn, message in enumerate(asked.messages):
        own = np.flatnonzero((trace.turn == turn) & ~trace.special)
        place = int(own[len(own) // 2])
        request = fork(run, place, 0)
        assert request.messages[:-1] == asked.messages[:turn]
        said = "".join(trace.token_text[token] for token in own if token <= place)
        assert request.messages[-1].content == said.lstrip()
        assert 0 < len(said.strip()) < len(message.content)
        assert request.prompt_ids == tuple(trace.token_ids[: place + 1].tolist())


def test_a_node_of_a_tree_of_guesses_has_the_path_to_it_before_it(lab: Lab) -> None:
    asked = SpeculateRequest(
        model=MODEL, text=TEXT, max_new_tokens=12, drafter={"slug": "prompt_lookup"}
    )
    run = lab.run(asked)
    result = run.result
    assert isinstance(result, SpeculationResult)
    nodes = result.node_columns
    place = int(np.flatnonzero((nodes["parent"] < 0) & (nodes["round"] == 2))[0])
    before = int(result.rounds["new_tokens"][:2].sum())
    request = fork(run, place, 1)
    assert request.begin[:-1] == tuple(result.token_ids[:before].tolist())
    found = written(lab, request).lanes[0]
    assert found.tokens["rank"][before] == 1
    child = int(np.flatnonzero(nodes["parent"] >= 0)[0])
    assert fork(run, child).begin[-1] == nodes["token_id"][child]


def test_a_new_token_of_a_lane_is_replaced_or_kept_and_gone_on_from(lab: Lab) -> None:
    asked = DecodeRequest(
        model=MODEL,
        text=TEXT,
        max_new_tokens=6,
        strategies=["greedy", {"slug": "sampling", "parameters": {"temperature": 1.5}}],
    )
    run = lab.run(asked)
    result = run.result
    assert isinstance(result, DecodeResult)
    lane = result.lanes[1]
    place = len(result.lanes[0].token_ids) + 3
    other = fork(run, place, 2)
    assert other.begin == (*lane.token_ids[:3].tolist(), int(lane.top_ids[3, 2]))
    assert other.strategies[0].strategy.slug == "sampling"
    assert other.max_new_tokens == 6
    on = fork(run, place + 2)
    assert on.begin == tuple(lane.token_ids.tolist())
    assert on.max_new_tokens > len(on.begin)


def test_the_first_token_that_is_chosen_is_shown_at_once(lab: Lab) -> None:
    given = (5, 6, 7)
    asked = DecodeRequest(model=MODEL, text=TEXT, begin=given, max_new_tokens=12)
    parts = [event.result for event in lab.stream(asked) if isinstance(event, Partial)]
    first = parts[0]
    assert isinstance(first, DecodeResult)
    assert first.lanes[0].token_ids[:-1].tolist() == list(given)


def test_what_is_no_place_is_refused_in_words(lab: Lab) -> None:
    run = lab.run(TraceRequest(model=MODEL, text=TEXT))
    with pytest.raises(UserError, match=r"place=900 is not among the \d+ tokens"):
        fork(run, 900, 0)
    with pytest.raises(UserError, match=r"rank=99 is not among the \d+ likeliest"):
        fork(run, 0, 99)
    with pytest.raises(UserError, match="has no tokens to write on from"):
        fork(lab.open("example-why-warsaw"), 0, 0)
    with pytest.raises(UserError, match="prompt_ids=999999 is no token"):
        lab.run(DecodeRequest(model=MODEL, text="a", prompt_ids=(999_999,)))
