"""Parameters as one form: groups of fields from declarations, whose values travel by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from pydantic import BaseModel

from tokenarium.ui.components.options import fields, read, shown

JS = """
window.tokenarium.form(element, props, watch, () => trigger('edit'));
"""
FormValue = dict[str, Any]
"""``groups``, each with its fields and their values; a browser sends it back whole. With ``keeps``
only its fields are taken, and values of those that are there already stay."""


@dataclass(frozen=True)
class Group:
    """Some fields of one declaration."""

    slug: str
    declared: type[BaseModel]
    names: Sequence[str]
    title: str = ""
    note: str = ""
    """A word beside the title."""
    text: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By what a button says, the values that it sets."""


def form_value(
    groups: Sequence[Group], values: Mapping[str, Mapping[str, Any]] | None = None
) -> FormValue:
    """Return what the browser draws.

    Args:
        groups: in order.
        values: by group and name, for fields that shall not show their default.
    """
    told = values or {}
    return {"groups": [_group(group, told.get(group.slug, {})) for group in groups]}


def read_form(groups: Sequence[Group], value: object) -> dict[str, dict[str, Any]]:
    """Return what a form says, by group and name, ready for the declarations to check.

    A browser may send anything: what is no field of a group is left out.
    """
    told = typed_in(value)
    return {
        group.slug: read(
            group.declared,
            {name: v for name, v in told.get(group.slug, {}).items() if name in group.names},
        )
        for group in groups
    }


def typed_in(value: object) -> dict[str, dict[str, Any]]:
    """Return the values of a form as they stand in it, by group and name."""
    groups = value.get("groups") if isinstance(value, dict) else None
    found: dict[str, dict[str, Any]] = {}
    for group in groups if isinstance(groups, list) else ():
        entries = group.get("fields") if isinstance(group, dict) else None
        if not isinstance(entries, list) or not isinstance(group.get("slug"), str):
            continue
        known = (entry for entry in entries if isinstance(entry, dict))
        found[group["slug"]] = {
            entry["name"]: entry.get("value")
            for entry in known
            if isinstance(entry.get("name"), str)
        }
    return found


def form(value: FormValue, name: str) -> gr.HTML:
    """Return the component; its event ``edit`` reports every change by the visitor."""
    return gr.HTML(
        value,
        html_template='<div class="tk-form"></div>',
        js_on_load=JS,
        elem_id=name,
        elem_classes="tk-block",
    )


def _group(group: Group, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "slug": group.slug,
        "title": group.title,
        "note": group.note,
        "text": group.text,
        "fields": [
            {**found, "value": _shown(found, values)}
            for found in fields(group.declared, group.names)
        ],
        "presets": {
            said: {name: shown(value) for name, value in preset.items()}
            for said, preset in group.presets.items()
        },
    }


def _shown(found: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    name = found["name"]
    if name not in values:
        return found["value"]
    value = values[name]
    if found["type"] == "choice" and "default" in found["choices"]:
        return {None: "default", True: "yes", False: "no"}.get(value, value)
    return shown(value)
