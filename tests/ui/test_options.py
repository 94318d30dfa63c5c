"""Controls say what the request declares: default, bounds, description."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from tokenarium.backend import TraceRequest
from tokenarium.ui.components.form import Group, form_value, read_form
from tokenarium.ui.components.options import fields, read, shown
from tokenarium.ui.pages.explore import FORM, OPTIONS


def control(name: str) -> dict[str, Any]:
    return fields(TraceRequest, [name])[0]


def test_every_choice_of_a_trace_has_a_control() -> None:
    elsewhere = {"model", "text", "messages", "special_tokens", "chat_template", "logit_lens"}
    assert set(OPTIONS) == set(TraceRequest.model_fields) - elsewhere - {"seed"}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_control_explains_itself(name: str) -> None:
    field = TraceRequest.model_fields[name]
    assert control(name)["label"] == (field.title or name.replace("_", " ").capitalize())
    assert control(name)["info"].startswith(str(field.description))


def test_an_integer_is_dragged_over_its_bounds() -> None:
    found = control("top_k")
    assert found["type"] == "range"
    assert (found["min"], found["max"], found["step"], found["value"]) == (1, 100, 1, 10)


class Varied(BaseModel):
    """A declaration with the kinds of parameters that a trace has none of."""

    word: str = Field(".", description="A word.")
    number: int = Field(-1, ge=-1, description="A number without an upper end.")
    heads: tuple[tuple[int, int], ...] = Field((), description="Heads.")
    share: float = Field(1.0, ge=0, le=1, description="A share, both ends allowed.")
    named: dict[str, float] = Field(default_factory=dict, description="Numbers.")
    limit: int | None = Field(None, ge=1, description="A limit, or none.")


@pytest.mark.parametrize(
    ("text", "wanted"), [("0.9", (0.9,)), (" 0.99, 0.5 ,", (0.99, 0.5)), ("", ())]
)
def test_a_list_is_written_with_commas(text: str, wanted: tuple[float, ...]) -> None:
    assert control("forgetting")["type"] == "text"
    told = read(TraceRequest, {"forgetting": text})
    assert TraceRequest(model="m", text="t", **told).forgetting == wanted


def test_heads_are_written_as_layer_and_head() -> None:
    assert Varied(**read(Varied, {"heads": "5.0, 10.11"})).heads == ((5, 0), (10, 11))


@pytest.mark.parametrize(
    "values", [{"heads": ((5, 0), (10, 11))}, {"named": {"a": 0.5, "b": 2.0}}, {"limit": 3}]
)
def test_what_is_shown_is_read_back(values: dict[str, Any]) -> None:
    told = {name: shown(value) for name, value in values.items()}
    again = Varied(**read(Varied, told))
    assert {name: getattr(again, name) for name in values} == values


def test_a_list_that_is_none_is_named_by_the_request() -> None:
    told = read(TraceRequest, {"forgetting": "0.9, many"})
    with pytest.raises(ValidationError, match="forgetting"):
        TraceRequest(model="m", text="t", **told)


def test_words_and_numbers_without_an_end_are_typed() -> None:
    word, number, limit = fields(Varied, ["word", "number", "limit"])
    assert (word["type"], word["value"]) == ("text", ".")
    assert (number["type"], number["value"], number["min"]) == ("number", -1, -1)
    assert (limit["type"], limit["value"], limit["optional"]) == ("number", None, True)


def test_a_closed_range_has_its_ends() -> None:
    (share,) = fields(Varied, ["share"])
    assert (share["type"], share["min"], share["max"], share["value"]) == ("range", 0, 1, 1)


def test_an_open_range_is_dragged_inside_it() -> None:
    found = control("sink_threshold")
    assert found["type"] == "range"
    assert 0 < found["min"] < found["value"] == 0.3 < found["max"] < 1
    steps = (found["value"] - found["min"]) / found["step"]
    assert math.isclose(steps, round(steps), abs_tol=1e-9)


@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize("name", ["top_k", "tiles", "sink_threshold"])
def test_the_ends_of_a_range_are_accepted(name: str, end: str) -> None:
    value = control(name)[end]
    assert getattr(TraceRequest(model="m", text="t", **{name: value}), name) == value


@pytest.mark.parametrize("name", ["dtype", "overflow"])
def test_a_choice_is_a_list_of_what_is_allowed(name: str) -> None:
    found = control(name)
    assert (found["type"], found["value"]) == ("choice", TraceRequest.model_fields[name].default)
    for value in found["choices"]:
        TraceRequest(model="m", text="t", **{name: value})


@pytest.mark.parametrize(("name", "default"), [("logit_lens", False), ("chat_template", False)])
def test_yes_or_no_is_a_box(name: str, default: bool) -> None:
    assert (control(name)["type"], control(name)["value"]) == ("check", default)


@pytest.mark.parametrize(("told", "wanted"), [("default", None), ("yes", True), ("no", False)])
def test_a_third_state_is_the_tokenizers_own(told: str, wanted: bool | None) -> None:
    assert control("add_bos")["type"] == "choice"
    assert read(TraceRequest, {"add_bos": told}) == {"add_bos": wanted}
    drawn = form_value([FORM], {FORM.slug: {"add_bos": wanted}})
    (field,) = (f for f in drawn["groups"][0]["fields"] if f["name"] == "add_bos")
    assert field["value"] == told


def test_controls_left_alone_give_the_request_without_options() -> None:
    told = read_form([FORM], form_value([FORM]))[FORM.slug]
    assert TraceRequest(model="m", text="t", **told) == TraceRequest(model="m", text="t")


def test_what_a_control_never_sends_is_left_to_the_request() -> None:
    hostile: dict[str, Any] = read(TraceRequest, {"add_bos": "perhaps", "top_k": "<b>"})
    assert hostile == {"add_bos": "perhaps", "top_k": "<b>"}


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "x",
        {"groups": 3},
        {"groups": [3, {"slug": []}, {"slug": "options", "fields": "x"}]},
        {"groups": [{"slug": "options", "fields": [3, {"name": 3}, {"name": "model"}]}]},
        {"groups": [{"slug": "other", "fields": [{"name": "top_k", "value": 3}]}]},
    ],
)
def test_a_browser_may_send_anything_as_a_form(sent: object) -> None:
    assert read_form([FORM], sent) == {FORM.slug: {}}


def test_a_form_shows_what_it_is_given_and_defaults_for_the_rest() -> None:
    group = Group("varied", Varied, ("word", "share"), "Varied")
    (drawn,) = form_value([group], {"varied": {"share": 0.5}})["groups"]
    assert [(field["name"], field["value"]) for field in drawn["fields"]] == [
        ("word", "."),
        ("share", 0.5),
    ]


def test_a_default_finer_than_the_steps_of_a_range_is_typed() -> None:
    class Fine(BaseModel):
        """Weights at the ends of their range, and one within."""

        least: float = Field(1e-4, gt=0, lt=1, description="Nearly none.")
        most: float = Field(0.999, gt=0, lt=1, description="Nearly all.")
        some: float = Field(0.25, gt=0, lt=1, description="Some.")
        none: float = Field(0.0, ge=0, le=1, description="None.")

    kinds = [one["type"] for one in fields(Fine, ["least", "most", "some", "none"])]
    assert kinds == ["number", "number", "range", "range"]
