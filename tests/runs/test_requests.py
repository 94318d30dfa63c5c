import dataclasses

import pytest
from pydantic import Field, ValidationError

from tests.runs.stand_in import CountRequest
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.message import Message
from tokenarium.backend.trace.request import TraceRequest

ASKED = TraceRequest(model="bundled/target", text="Once upon a time")


def test_key_is_the_same_for_the_same_question_only() -> None:
    assert ASKED.key("f", "1") == TraceRequest(model="bundled/target", text=ASKED.text).key(
        "f", "1"
    )
    others = [
        ASKED.key("g", "1"),
        ASKED.key("f", "2"),
        ASKED.model_copy(update={"text": "Once upon a time "}).key("f", "1"),
        ASKED.model_copy(update={"model": "bundled/draft"}).key("f", "1"),
    ]
    changed = {
        "dtype": "bfloat16", "add_bos": True, "chat_template": True, "overflow": "keep_end",
        "seed": 1, "top_k": 9, "tiles": 63, "logit_lens": True, "sink_threshold": 0.2,
        "forgetting": (0.5,), "special_tokens": True,
        "messages": (Message(role="user", content="x"),),
    }  # fmt: skip
    assert {*changed, "model", "text"} == set(TraceRequest.model_fields)
    others += [ASKED.model_copy(update={name: v}).key("f", "1") for name, v in changed.items()]
    assert len({ASKED.key("f", "1"), *others}) == len(others) + 1


def test_key_is_another_for_another_kind_with_the_same_parameters() -> None:
    class RecountRequest(CountRequest):
        kind = "recount"

    counted, recounted = (kind(model="m", text="x") for kind in (CountRequest, RecountRequest))
    assert counted.model_dump() == recounted.model_dump()
    assert counted.key("f", "1") != recounted.key("f", "1")


def test_request_comes_back_from_what_is_stored() -> None:
    assert KINDS.find("trace").request.model_validate(ASKED.model_dump(mode="json")) == ASKED


def test_a_kind_that_is_taken_is_refused() -> None:
    again = dataclasses.replace(KINDS.find("trace"), title="Again")
    with pytest.raises(TypeError, match="kind slug='trace' is taken by 'Trace'"):
        KINDS.register(again)
    assert KINDS.find("trace").title == "Trace"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": ""}, "at least one character"),
        ({"text": "x" * 1_000_001}, "at most 1000000 characters"),
        ({"text": "ab\ud83dcd"}, r"U\+D83D at character 2"),
        ({"top_k": 0}, "greater than or equal to 1"),
        ({"sink_threshold": 1.0}, "less than 1"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_request_refuses_what_is_out_of_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TraceRequest(**{"model": "bundled/target", "text": "x", **values})


def test_request_depends_on_the_limit_only_if_it_may_cut() -> None:
    assert not ASKED.depends_on_limit
    assert ASKED.model_copy(update={"overflow": "keep_start"}).depends_on_limit
    assert not ASKED.model_copy(update={"overflow": "exceed"}).depends_on_limit


def test_field_that_is_added_later_leaves_the_key_as_it_was_where_it_has_its_default() -> None:
    class Later(CountRequest):
        kind = "count"
        stride: int = Field(1, ge=1, description="Step.", json_schema_extra={"since": 2})

    before = CountRequest(model="m", text="x").key("f", "1")
    assert Later(model="m", text="x").key("f", "1") == before
    assert Later(model="m", text="x", stride=1).key("f", "1") == before
    assert Later(model="m", text="x", stride=2).key("f", "1") != before


def test_parameter_that_is_added_to_a_method_later_leaves_the_key_as_it_was() -> None:
    plain = PolicySpec("streaming_llm", sink=2)
    dump = plain.model_dump()
    field = Policy.registry.find("streaming_llm").model_fields["sink"]
    with pytest.MonkeyPatch.context() as later:
        later.setattr(field, "json_schema_extra", {"since": 2})
        assert PolicySpec("streaming_llm", sink=2).model_dump() == dump
        default = PolicySpec("streaming_llm", sink=field.default)
        assert default == PolicySpec("streaming_llm")
        assert "sink" not in default.parameters
        assert default.policy.sink == field.default
