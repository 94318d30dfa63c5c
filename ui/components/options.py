"""Controls from a declaration of parameters: default, bounds and description."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Field = dict[str, Any]
"""Name, label, info, type (choice, check, text, number, range) and value of a control."""

_TRISTATE = {"default": None, "yes": True, "no": False}
MOST_STEPS = 512
"""An integer of a wider range is typed, not dragged."""


def fields(declared: type[BaseModel], names: Sequence[str]) -> list[Field]:
    """Return what the browser needs to draw the named fields, each with its default as value."""
    schema = declared.model_json_schema()["properties"]
    return [_field(name, declared.model_fields[name], schema[name].get("enum")) for name in names]


def read(declared: type[BaseModel], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what controls say, by name, as parameters that the declaration then checks."""
    return {
        name: _told(declared.model_fields[name], value) if name in declared.model_fields else value
        for name, value in told.items()
    }


def shown(value: object) -> object:
    """Return a parameter as its control shows it."""
    if isinstance(value, list | tuple):
        return ", ".join(
            ".".join(map(str, entry)) if isinstance(entry, list | tuple) else str(entry)
            for entry in value
        )
    if isinstance(value, dict):
        return ", ".join(f"{name}={entry}" for name, entry in value.items())
    return value


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


def _field(name: str, field: FieldInfo, allowed: list[str] | None) -> Field:
    label = field.title or name.replace("_", " ").capitalize()
    value = None if field.default is PydanticUndefined else field.default
    found: Field = {"name": name, "label": label, "info": field.description or "", "value": value}
    if allowed is not None:
        return {**found, "type": "choice", "choices": allowed}
    if _is_tristate(field):
        return {**found, "type": "choice", "choices": list(_TRISTATE), "value": "default"}
    if field.annotation is bool:
        return {**found, "type": "check"}
    if field.annotation is str:
        return {**found, "type": "text"}
    if get_origin(field.annotation) is tuple:
        listed = shown(field.get_default(call_default_factory=True) or ())
        return {**found, "type": "text", "value": listed, "info": _how_to_list(field)}
    if get_origin(field.annotation) is dict:
        how = f"{field.description} Write them as name=value, separated by commas."
        return {**found, "type": "text", "value": "", "info": how}
    return {**found, **_number(field)}


def _number(field: FieldInfo) -> Field:
    """Return how a number is asked for: dragged over its range, or typed."""
    ends = _ends(field)
    low, high = ends.get("ge", ends.get("gt", 0.0)), ends.get("le", ends.get("lt"))
    optional = NoneType in get_args(field.annotation)
    whole = int in (field.annotation, *get_args(field.annotation))
    wide = field.annotation is int and (high is None or high - low > MOST_STEPS)
    if optional or wide or _is_fine(field, low, high):
        typed = 1 if whole else "any"
        return {"type": "number", "min": low, "max": high, "step": typed, "optional": optional}
    high = 1.0 if high is None else high
    step = 1 if whole else (high - low) / 100
    low, high = low + step * ("gt" in ends), high - step * ("lt" in ends)
    return {"type": "range", "min": low, "max": high, "step": step}


def _is_fine(field: FieldInfo, low: float, high: float | None) -> bool:
    """Return whether the default lies between the ends and the steps next to them."""
    if field.annotation is not float or not isinstance(field.default, float):
        return False
    high = 1.0 if high is None else high
    return 0 < min(field.default - low, high - field.default) < (high - low) / 100


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
