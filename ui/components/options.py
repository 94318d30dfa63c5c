"""Controls built from a request's own declaration: default, bounds and description."""

from types import NoneType
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from backend import Request

_TRISTATE = {"default": None, "yes": True, "no": False}


def controls(request: type[Request], names: list[str]) -> list[gr.components.Component]:
    """Return one control per named field, in order."""
    return [_control(name, request.model_fields[name]) for name in names]


def read(request: type[Request], names: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    """Return what the controls say, as the request's parameters."""
    told = dict(zip(names, values, strict=True))
    return {
        name: _TRISTATE.get(value, value)
        if _is_tristate(request.model_fields[name]) and isinstance(value, str)
        else value
        for name, value in told.items()
    }


def _control(name: str, field: FieldInfo) -> gr.components.Component:
    label, info = name.replace("_", " "), field.description
    if get_origin(field.annotation) is Literal:
        choices = list(get_args(field.annotation))
        return gr.Dropdown(choices, value=field.default, label=label, info=info)
    if _is_tristate(field):
        return gr.Radio(list(_TRISTATE), value="default", label=label, info=info)
    if field.annotation is bool:
        return gr.Checkbox(field.default, label=label, info=info)
    low, high = _bounds(field)
    if field.annotation is int:
        return gr.Slider(low, high, value=field.default, step=1, label=label, info=info)
    step = (high - low) / 100
    return gr.Slider(
        low + step, high - step, value=field.default, step=step, label=label, info=info
    )


def _is_tristate(field: FieldInfo) -> bool:
    return set(get_args(field.annotation)) == {bool, NoneType}


def _bounds(field: FieldInfo) -> tuple[float, float]:
    found: dict[str, float] = {}
    for constraint in field.metadata:
        for end in ("ge", "gt", "le", "lt"):
            if getattr(constraint, end, None) is not None:
                found[end] = getattr(constraint, end)
    return found.get("ge", found.get("gt", 0.0)), found.get("le", found.get("lt", 1.0))
