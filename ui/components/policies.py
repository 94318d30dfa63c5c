"""The parameters of every policy, drawn from its declaration; only chosen policies are seen."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from pydantic_core import PydanticUndefined

from tokenarium.backend import Policy
from tokenarium.ui.components.options import controls, read
from tokenarium.ui.text import escape

QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "queue": False,
}
LABELS = {
    "nothing": "keeps everything",
    "evict": "frees memory",
    "select": "keeps all, reads a part",
    "mask": "hides pairs, saves nothing",
    "reshape": "shrinks other dimensions",
    "merge": "joins entries",
}


class PolicyParameters:
    """One group of controls per policy.

    Args:
        policies: those that can be chosen.
        chosen: slugs of those that are seen first.
    """

    def __init__(self, policies: Sequence[type[Policy]], chosen: Sequence[str]) -> None:
        self._policies = {policy.slug: policy for policy in policies}
        self._names = {slug: _names(policy) for slug, policy in self._policies.items()}
        self.inputs: list[gr.components.Component] = []
        self.groups: list[gr.Column] = []
        with gr.Row(elem_classes="tk-options tk-policies"):
            for slug, policy in self._policies.items():
                self.groups.append(self._group(policy, slug in chosen))

    def seen(self, chosen: object) -> list[dict[str, Any]]:
        """Return the groups, those of chosen policies visible."""
        slugs = chosen if isinstance(chosen, list) else []
        return [gr.update(visible=slug in slugs) for slug in self._policies]

    def read(self, values: Sequence[Any]) -> dict[str, dict[str, Any]]:
        """Return what the controls say, by policy and parameter."""
        told, at = {}, 0
        for slug, names in self._names.items():
            told[slug] = read(self._policies[slug], names, tuple(values[at : at + len(names)]))
            at += len(names)
        return told

    def fill(self, parameters: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Return the value of every control for the given parameters, defaults for the rest."""
        return [
            parameters.get(slug, {}).get(name, default)
            for slug, policy in self._policies.items()
            for name, default in zip(self._names[slug], _defaults(policy), strict=True)
        ]

    def _group(self, policy: type[Policy], visible: bool) -> gr.Column:
        column: gr.Column
        with gr.Column(visible=visible, min_width=260, elem_classes="tk-method") as column:
            gr.HTML(_explained(policy))
            if not (names := self._names[policy.slug]):
                return column
            made = controls(policy, names)
            self.inputs += made
            with gr.Row():
                scaled = gr.Button("Scaled defaults", size="sm")
                scaled.click(partial(_values, _defaults(policy)), None, made, **QUIET)
                if policy.published:
                    paper = gr.Button("Paper's values", size="sm")
                    values = [
                        policy.published.get(name, default)
                        for name, default in zip(names, _defaults(policy), strict=True)
                    ]
                    paper.click(partial(_values, values), None, made, **QUIET)
        return column


def _names(policy: type[Policy]) -> list[str]:
    """Return the policy's own parameters first, then those that every policy has."""
    shared = [name for name in Policy.model_fields if name in policy.model_fields]
    if policy.label == "nothing":
        return []
    return [name for name in policy.model_fields if name not in shared] + shared


def _defaults(policy: type[Policy]) -> list[Any]:
    fields = [policy.model_fields[name] for name in _names(policy)]
    return [None if field.default is PydanticUndefined else field.default for field in fields]


def _values(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


def _explained(policy: type[Policy]) -> str:
    variant = f" Variant: {policy.differs}." if policy.differs != "no" else ""
    return (
        f'<h3>{escape(policy.title)} <span class="tk-note" '
        f'title="{escape(LABELS[policy.label])}">{escape(policy.label)}</span></h3>'
        f'<p class="tk-sub">{escape(policy.explanation)} {escape(policy.paper)}.'
        f"{escape(variant)}</p>"
    )
