"""Controls say what the request declares: default, bounds, description."""

import math
from typing import Any

import gradio as gr
import pytest
from pydantic import BaseModel, Field, ValidationError

from tokenarium.backend import TraceRequest
from tokenarium.ui.components.options import controls, read
from tokenarium.ui.pages.explore import OPTIONS


def control(name: str) -> gr.components.Component:
    return controls(TraceRequest, [name])[0]


def test_every_choice_of_a_trace_has_a_control() -> None:
    assert set(OPTIONS) == set(TraceRequest.model_fields) - {"model", "text", "seed"}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_control_explains_itself(name: str) -> None:
    field = TraceRequest.model_fields[name]
    assert control(name).label == field.title or name.replace("_", " ").capitalize()
    assert str(control(name).info).startswith(str(field.description))


def test_an_integer_is_a_slider_over_its_bounds() -> None:
    slider = control("top_k")
    assert isinstance(slider, gr.Slider)
    assert (slider.minimum, slider.maximum, slider.step, slider.value) == (1, 100, 1, 10)


class Varied(BaseModel):
    """A declaration with the kinds of parameters that a trace has none of."""

    word: str = Field(".", description="A word.")
    number: int = Field(-1, ge=-1, description="A number without an upper end.")
    heads: tuple[tuple[int, int], ...] = Field((), description="Heads.")
    share: float = Field(1.0, ge=0, le=1, description="A share, both ends allowed.")


@pytest.mark.parametrize(
    ("text", "wanted"), [("0.9", (0.9,)), (" 0.99, 0.5 ,", (0.99, 0.5)), ("", ())]
)
def test_a_list_is_written_with_commas(text: str, wanted: tuple[float, ...]) -> None:
    assert isinstance(control("forgetting"), gr.Textbox)
    told = read(TraceRequest, ["forgetting"], (text,))
    assert TraceRequest(model="m", text="t", **told).forgetting == wanted


def test_heads_are_written_as_layer_and_head() -> None:
    told = read(Varied, ["heads"], ("5.0, 10.11",))
    assert Varied(**told).heads == ((5, 0), (10, 11))


def test_a_list_that_is_none_is_named_by_the_request() -> None:
    told = read(TraceRequest, ["forgetting"], ("0.9, many",))
    with pytest.raises(ValidationError, match="forgetting"):
        TraceRequest(model="m", text="t", **told)


def test_words_and_numbers_without_an_end_are_typed() -> None:
    word, number = controls(Varied, ["word", "number"])
    assert isinstance(word, gr.Textbox)
    assert word.value == "."
    assert isinstance(number, gr.Number)
    assert (number.value, number.minimum) == (-1, -1)


def test_a_closed_range_has_its_ends() -> None:
    slider = controls(Varied, ["share"])[0]
    assert isinstance(slider, gr.Slider)
    assert (slider.minimum, slider.maximum, slider.value) == (0, 1, 1)


def test_an_open_range_is_a_slider_inside_it() -> None:
    slider = control("sink_threshold")
    assert isinstance(slider, gr.Slider)
    assert 0 < slider.minimum < slider.value == 0.3 < slider.maximum < 1
    steps = (slider.value - slider.minimum) / slider.step
    assert math.isclose(steps, round(steps), abs_tol=1e-9)


@pytest.mark.parametrize("end", ["minimum", "maximum"])
@pytest.mark.parametrize("name", ["top_k", "tiles", "sink_threshold"])
def test_the_ends_of_a_slider_are_accepted(name: str, end: str) -> None:
    value = getattr(control(name), end)
    assert getattr(TraceRequest(model="m", text="t", **{name: value}), name) == value


@pytest.mark.parametrize("name", ["dtype", "overflow"])
def test_a_choice_is_a_list_of_what_is_allowed(name: str) -> None:
    chosen = control(name)
    assert isinstance(chosen, gr.Dropdown)
    assert chosen.value == TraceRequest.model_fields[name].default
    for _, value in chosen.choices:
        TraceRequest(model="m", text="t", **{name: value})


@pytest.mark.parametrize(("name", "default"), [("logit_lens", True), ("chat_template", False)])
def test_yes_or_no_is_a_box(name: str, default: bool) -> None:
    box = control(name)
    assert isinstance(box, gr.Checkbox)
    assert box.value is default


@pytest.mark.parametrize(("told", "wanted"), [("default", None), ("yes", True), ("no", False)])
def test_a_third_state_is_the_tokenizers_own(told: str, wanted: bool | None) -> None:
    assert isinstance(control("add_bos"), gr.Radio)
    assert read(TraceRequest, ["add_bos"], (told,)) == {"add_bos": wanted}


def test_controls_left_alone_give_the_request_without_options() -> None:
    values = tuple(found.value for found in controls(TraceRequest, OPTIONS))
    told = TraceRequest(model="m", text="t", **read(TraceRequest, OPTIONS, values))
    assert told == TraceRequest(model="m", text="t")


def test_what_a_control_never_sends_is_left_to_the_request() -> None:
    hostile: dict[str, Any] = read(TraceRequest, ["add_bos", "top_k"], ("perhaps", "<b>"))
    assert hostile == {"add_bos": "perhaps", "top_k": "<b>"}


def test_a_default_finer_than_the_steps_of_a_slider_is_typed() -> None:
    class Fine(BaseModel):
        """Weights at the ends of their range, and one within."""

        least: float = Field(1e-4, gt=0, lt=1, description="Nearly none.")
        most: float = Field(0.999, gt=0, lt=1, description="Nearly all.")
        some: float = Field(0.25, gt=0, lt=1, description="Some.")
        none: float = Field(0.0, ge=0, le=1, description="None.")

    kinds = [type(one) for one in controls(Fine, ["least", "most", "some", "none"])]
    assert kinds == [gr.Number, gr.Number, gr.Slider, gr.Slider]
