"""One group of controls per method, drawn from its declaration; only the chosen one is seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from tokenarium.backend import Drafter, Rule
from tokenarium.ui.components.options import controls, read
from tokenarium.ui.text import escape

Method = type[Drafter] | type[Rule]


class MethodParameters:
    """The parameters of every method of a kind.

    Args:
        methods: those that can be chosen.
        chosen: slug of the one that is seen first.
    """

    def __init__(self, methods: Sequence[Method], chosen: str) -> None:
        self._methods = {method.slug: method for method in methods}
        self._names = {slug: list(method.model_fields) for slug, method in self._methods.items()}
        self.inputs: list[gr.components.Component] = []
        self.groups: list[gr.Column] = []
        for slug, method in self._methods.items():
            with gr.Column(
                visible=slug == chosen, min_width=260, elem_classes="tk-method"
            ) as group:
                gr.HTML(_explained(method))
                self.inputs += controls(method, self._names[slug])
            self.groups.append(group)

    def seen(self, chosen: object) -> list[gr.Column]:
        """Return the groups, that of the chosen method visible."""
        return [gr.Column(visible=slug == chosen) for slug in self._methods]

    def read(self, chosen: object, values: Sequence[Any]) -> dict[str, Any]:
        """Return what the controls of the chosen method say."""
        at = 0
        for slug, names in self._names.items():
            if slug == chosen:
                return read(self._methods[slug], names, tuple(values[at : at + len(names)]))
            at += len(names)
        return {}

    def fill(self, chosen: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the value of every control: as given for one method, defaults for the rest."""
        return [
            _shown(parameters[name] if slug == chosen and name in parameters else field.default)
            for slug, method in self._methods.items()
            for name, field in method.model_fields.items()
        ]


def _shown(value: object) -> object:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value


def _explained(method: Method) -> str:
    differs = getattr(method, "differs", "no")
    variant = "" if differs == "no" else f" Variant: {differs}."
    return (
        f"<h3>{escape(method.title)}</h3>"
        f'<p class="tk-sub">{escape(method.explanation)} {escape(method.paper)}.'
        f"{escape(variant)}</p>"
    )
