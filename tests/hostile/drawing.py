"""Values for the fields of any declaration, drawn within its bounds, and the same spoiled.

Everything is taken from the declarations, so that a new kind of run, method or field is tried as
soon as it is there.
"""

import copy
import random
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tokenarium.backend.runs.method import FAMILIES, Method
from tokenarium.backend.runs.method_spec import MethodSpec

WIDTH = 4
"""How far above its lower bound, or 0, a number is drawn."""
LONGEST = 3
"""Entries of a list, unless it must have more."""
LEFT_OUT = 0.6
"""Share of the optional fields that keep their default."""


def values(
    declared: type[BaseModel], draw: random.Random, known: dict[str, list[Any]]
) -> dict[str, Any]:
    """Return values for the fields of a declaration, most of the optional ones left out.

    Args:
        declared: a request, or a method.
        draw: chooses.
        known: by name of a field, the values to choose from.
    """
    found: dict[str, Any] = {}
    for name, field in declared.model_fields.items():
        if name in known:
            found[name] = draw.choice(known[name])
        elif field.is_required() or draw.random() > LEFT_OUT:
            found[name] = value(field, name, draw, known)
    _fit_parameters(declared, found, draw, known)
    return found


def value(field: FieldInfo, name: str, draw: random.Random, known: dict[str, list[Any]]) -> Any:
    """Return one value of a field."""
    if methods := _methods(field, name):
        return draw.choice(methods).slug
    return _of(field.annotation, field.metadata, draw, known)


def spoiled(given: dict[str, Any], odd: list[Any], draw: random.Random) -> dict[str, Any]:
    """Return a copy in which one to three places, however deep, hold something odd."""
    spoilt = copy.deepcopy(given)
    for _ in range(draw.choice((1, 1, 2, 3))):
        if found := list(places(spoilt)):
            holder, at = draw.choice(found)
            holder[at] = copy.copy(draw.choice(odd))
    return spoilt


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return every entry of lists and objects, however deep: what holds it, and where in that."""
    if isinstance(value, dict):
        entries = list(value)
    elif isinstance(value, list):
        entries = list(range(len(value)))
    else:
        return
    for at in entries:
        yield value, at
        yield from places(value[at])


def _methods(field: FieldInfo, name: str) -> list[type[Method]]:
    """Return the methods of the family that a text names: its default's, or the field's own."""
    if field.annotation is not str:
        return []
    for family, registry in sorted(FAMILIES.items(), key=lambda each: (each[0] != name, each[0])):
        methods = list(registry.all())
        if name == family or field.default in [method.slug for method in methods]:
            return methods
    return []


def _fit_parameters(
    declared: type[BaseModel],
    found: dict[str, Any],
    draw: random.Random,
    known: dict[str, list[Any]],
) -> None:
    """Draw parameters for the method that is named beside them, as its own declaration has them."""
    fields = declared.model_fields
    if get_origin(fields["parameters"].annotation if "parameters" in fields else None) is not dict:
        return
    for name, field in fields.items():
        for method in _methods(field, name):
            if method.slug == found.get(name, field.default):
                found["parameters"] = values(method, draw, known)


def _of(
    annotation: Any, metadata: list[Any], draw: random.Random, known: dict[str, list[Any]]
) -> Any:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        extra = [part for each in inside[1:] for part in getattr(each, "metadata", [each])]
        return _of(inside[0], [*metadata, *extra], draw, known)
    if origin is Literal:
        return draw.choice(inside)
    if origin in (Union, UnionType):
        return _of(draw.choice(inside), metadata, draw, known)
    if origin in (tuple, list, set, frozenset):
        entries = [each for each in inside if each is not Ellipsis]
        if len(entries) > 1:
            return [_of(each, [], draw, known) for each in entries]
        low, high = _range(metadata, 1)
        count = draw.randint(low, min(high, low + LONGEST))
        return [_of(entries[0], [], draw, known) for _ in range(count)]
    if isinstance(annotation, type) and issubclass(annotation, MethodSpec):
        method = draw.choice(annotation.family.registry.all())
        return {"slug": method.slug, "parameters": values(method, draw, known)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return values(annotation, draw, known)
    return _plain(annotation, metadata, draw, known)


def _plain(
    annotation: Any, metadata: list[Any], draw: random.Random, known: dict[str, list[Any]]
) -> Any:
    if annotation is bool:
        return draw.random() < 0.5
    if annotation is int:
        return draw.randint(*_range(metadata, 1))
    if annotation is float:
        low, high = _range(metadata, 0)
        return low + (high - low) * draw.choice((0.1, 0.5, 0.9))
    if annotation is str:
        return draw.choice(known["any text"])
    return {} if get_origin(annotation) is dict else None


def _range(metadata: list[Any], step: int) -> tuple[Any, Any]:
    """Return the lower end of what a field's bounds allow, ``step`` away from those left out."""
    told: dict[str, Any] = {}
    for part in metadata:
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
            if hasattr(part, name):
                told[name] = getattr(part, name)
    low = told.get("ge", told.get("min_length", told.get("gt", -step) + step))
    high = told.get("le", told.get("max_length", told.get("lt", low + WIDTH + step) - step))
    return low, max(low, min(high, low + WIDTH))
