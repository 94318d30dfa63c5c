"""Controls of a page, every value known by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import BaseModel

from tokenarium.ui.components.form import Group, form, form_value, read_form, typed_in
from tokenarium.ui.components.options import fields
from tokenarium.ui.shell.panel import Values, unchecked

Groups = Callable[[Values], Sequence[Group]]
"""The groups of a form, which may follow from what other controls say."""


@dataclass(frozen=True)
class Offer:
    """What changes on the page when some controls do, such as which rules may be chosen."""

    on: tuple[str, ...]
    changed: tuple[str, ...]
    make: Callable[[Values], Values]


class Controls:
    """What a visitor is asked, in the order in which it is built."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}
        self.forms: dict[str, Groups] = {}
        self.notes: dict[str, Any] = {}
        """Parts that only show something."""
        self.offers: list[Offer] = []

    def add(self, name: str, component: Any) -> Any:
        """Add a Gradio component, built where it stands."""
        assert name not in self.parts
        self.parts[name] = unchecked(component)
        return component

    def field(self, declared: type[BaseModel], name: str, **changes: Any) -> Any:
        """Add a control for a field of a declaration; ``changes`` are those of the component."""
        (found,) = fields(declared, [name])
        kinds = {"choice": gr.Dropdown, "check": gr.Checkbox, "text": gr.Textbox}
        kinds |= {"number": gr.Number, "range": gr.Slider}
        told: dict[str, Any] = {"value": found["value"], "label": found["label"]}
        told |= {"info": found["info"], "elem_id": name.replace("_", "-")}
        if found["type"] == "choice":
            told["choices"] = found["choices"]
        if found["type"] in ("number", "range"):
            told |= {"minimum": found["min"], "maximum": found["max"]}
        if found["type"] == "range":
            told["step"] = found["step"]
        return self.add(name, kinds[found["type"]](**{**told, **changes}))

    def form(self, name: str, groups: Groups, follows: Sequence[str] = ()) -> None:
        """Add a form.

        Args:
            name: of the control; what it says is a dictionary by group and name.
            groups: from what the other controls say.
            follows: the controls that change them.
        """
        values = {known: part.value for known, part in self.parts.items()}
        self.forms[name] = groups
        self.parts[name] = form(form_value(groups(values)), name.replace("_", "-"))
        if follows:
            self.offer(follows, [name], lambda asked: {name: self._reformed(name, asked)})

    def note(self, name: str, component: Any) -> None:
        """Add a part that only shows something."""
        self.notes[name] = component

    def offer(
        self, on: Sequence[str], changed: Sequence[str], make: Callable[[Values], Values]
    ) -> None:
        """Let what is offered follow other controls.

        Args:
            on: the controls that it follows.
            changed: the parts that change.
            make: from what the controls say as they stand, the new values by name.
        """
        self.offers.append(Offer(tuple(on), tuple(changed), make))

    def read(self, told: Values) -> Values:
        """Return what the controls say, by name; forms by group and name."""
        found = {name: told.get(name) for name in self.parts}
        for name, groups in self.forms.items():
            found[name] = read_form(groups(found), found[name])
        return found

    def _reformed(self, name: str, told: Values) -> dict[str, Any]:
        """Return a form after what it follows has changed; what was typed stays."""
        # What is typed until the browser has it stays there.
        return {**form_value(self.forms[name](told), typed_in(told.get(name))), "keeps": True}

    def filled(self, values: Mapping[str, Any]) -> Values:
        """Return new values of components from values by name; forms by group and name."""
        found = dict(values)
        plain = {
            name: value["value"] if isinstance(value, dict) and "value" in value else value
            for name, value in found.items()
        }
        for name, groups in self.forms.items():
            if name in found:
                found[name] = form_value(groups(plain), found[name])
        return found
