"""Controls built from a declaration of parameters: default, bounds and description."""

from types import NoneType
from typing import Any, get_args, get_origin

import gradio as gr
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_TRISTATE = {"default": None, "yes": True, "no": False}
MOST_STEPS = 512
"""An integer of a wider range is typed, not dragged."""


def controls(declared: type[BaseModel], names: list[str]) -> list[gr.components.Component]:
    """Return one control per named field, in order."""
    named = declared.model_json_schema()["properties"]
    return [_control(name, declared.model_fields[name], named[name].get("enum")) for name in names]


def read(declared: type[BaseModel], names: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    """Return what the controls say, as parameters that the declaration then checks."""
    told = zip(names, values, strict=True)
    return {name: _told(declared.model_fields[name], value) for name, value in told}


def _told(field: FieldInfo, value: object) -> object:
    if get_origin(field.annotation) is dict:
        return _named(str(value or ""))
    if not isinstance(value, str):
        return value
    if _is_tristate(field):
        return _TRISTATE.get(value, value)
    if get_origin(field.annotation) is tuple:
        entries = [entry.strip() for entry in value.split(",") if entry.strip()]
        return [entry.split(".", 1) if _is_pairs(field) else entry for entry in entries]
    return value


def _named(told: str) -> dict[str, str]:
    """Return what stands as name=value, ...; the declaration reads numbers from text."""
    pairs = (entry.partition("=") for entry in told.split(",") if entry.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _control(name: str, field: FieldInfo, allowed: list[str] | None) -> gr.components.Component:
    label = field.title or name.replace("_", " ").capitalize()
    info = field.description
    if allowed is not None:
        return gr.Dropdown(allowed, value=field.default, label=label, info=info)
    if _is_tristate(field):
        return gr.Radio(list(_TRISTATE), value="default", label=label, info=info)
    if field.annotation is bool:
        return gr.Checkbox(field.default, label=label, info=info)
    if field.annotation is str:
        return gr.Textbox(field.default, label=label, info=info, max_lines=1)
    if get_origin(field.annotation) is tuple:
        return gr.Textbox(_listed(field), label=label, info=_how_to_list(field), max_lines=1)
    if get_origin(field.annotation) is dict:
        info = f"{info} Write them as name=value, separated by commas."
        return gr.Textbox("", label=label, info=info, max_lines=1)
    ends = _ends(field)
    low, high = ends.get("ge", ends.get("gt", 0.0)), ends.get("le", ends.get("lt"))
    opened = NoneType in get_args(field.annotation)
    wide = field.annotation is int and (high is None or high - low > MOST_STEPS)
    if opened or wide or _is_fine(field, low, high):
        return gr.Number(
            field.default,
            label=label,
            info=info,
            placeholder="left open" if opened else None,
            precision=0 if int in (field.annotation, *get_args(field.annotation)) else None,
            minimum=low,
            maximum=high,
        )
    high = 1.0 if high is None else high
    step = 1 if field.annotation is int else (high - low) / 100
    low, high = low + step * ("gt" in ends), high - step * ("lt" in ends)
    return gr.Slider(low, high, value=field.default, step=step, label=label, info=info)


def _is_fine(field: FieldInfo, low: float, high: float | None) -> bool:
    """Return whether the default lies between the ends and the steps next to them."""
    if field.annotation is not float or not isinstance(field.default, float):
        return False
    high = 1.0 if high is None else high
    return 0 < min(field.default - low, high - field.default) < (high - low) / 100


def _listed(field: FieldInfo) -> str:
    entries = field.get_default(call_default_factory=True) or ()
    return ", ".join(
        ".".join(map(str, entry)) if _is_pairs(field) else str(entry) for entry in entries
    )


def _how_to_list(field: FieldInfo) -> str:
    how = "as layer.head, separated by commas" if _is_pairs(field) else "separated by commas"
    return f"{field.description} Write them {how}."


def _is_pairs(field: FieldInfo) -> bool:
    entries = get_args(field.annotation)
    return bool(entries) and get_origin(entries[0]) is tuple


def _is_tristate(field: FieldInfo) -> bool:
    return set(get_args(field.annotation)) == {bool, NoneType}


def _ends(field: FieldInfo) -> dict[str, float]:
    """Return the ends of the range of a number: ge or gt, le or lt."""
    return {
        end: value
        for constraint in field.metadata
        for end in ("ge", "gt", "le", "lt")
        if (value := getattr(constraint, end, None)) is not None
    }
