"""Methods to choose from, and the parameters of those that are chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import PydanticUndefined

from tokenarium.ui.components.choice import Choice
from tokenarium.ui.components.form import Group


def choice_of(methods: Sequence[Any], value: Any, label: str, **more: Any) -> Choice:
    """Return a choice among methods, by title."""
    titles = [(method.title, method.slug) for method in methods]
    return Choice(titles, value=value, label=label, **more)


def groups_of(methods: Mapping[str, Any], chosen: object) -> list[Group]:
    """Return a group of parameters for each chosen method.

    Args:
        methods: by slug.
        chosen: a slug, or several, as a browser says.
    """
    slugs = chosen if isinstance(chosen, list | tuple) else [chosen]
    known = dict.fromkeys(slug for slug in slugs if isinstance(slug, str) and slug in methods)
    return [_group(methods[slug]) for slug in known]


def _group(method: Any) -> Group:
    family = next(base for base in method.__mro__ if "registry" in vars(base))
    shared = set(family.model_fields)
    names = [name for name in method.model_fields if name not in shared]
    names += [name for name in method.model_fields if name in shared]
    differs = getattr(method, "differs", "no")
    variant = "" if differs == "no" else f" Variant: {differs}."
    note = getattr(method, "label", "")
    if note == "nothing":
        names = []
    defaults = {
        name: None if field.default is PydanticUndefined else field.default
        for name, field in method.model_fields.items()
        if name in names
    }
    presets: dict[str, dict[str, Any]] = {}
    if names and (published := getattr(method, "published", None)) is not None:
        presets["Scaled defaults"] = defaults
        if published:
            presets["Paper's values"] = {**defaults, **published}
    text = f"{method.explanation} {method.paper}.{variant}"
    return Group(method.slug, method, names, method.title, note, text, presets)
