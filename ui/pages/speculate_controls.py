"""What is asked on the Speculate page: prompt, models, drafter, rule, with their parameters."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from tokenarium.backend import Drafter, Lab, Rule, SpeculateRequest
from tokenarium.ui.components.methods import MethodParameters
from tokenarium.ui.components.options import controls, read
from tokenarium.ui.pages.speculate import EXTRA, PLAIN, Asked
from tokenarium.ui.views.view import Values

USUAL_DRAFTER, USUAL_RULE = "draft_chain", "greedy"
SLIDERS = ("draft_len", "tree_budget", "max_new_tokens")


class SpeculateControls:
    """Build the controls; ``asked`` lists them in the order in which handlers are told of them."""

    def __init__(self, lab: Lab, first: Values) -> None:
        self.parts: dict[str, Any] = {}
        self.drafter = first.get("drafter", USUAL_DRAFTER)
        offered = first.get("rule", {"value": USUAL_RULE, "choices": []})
        self._question(lab, first)
        self._methods(lab, first, offered)
        self._parameters(lab, first, offered["value"])
        self.parts["refused"] = gr.HTML(first.get("refused", ""), elem_id="refused-rules")
        self.parts["cost"] = gr.HTML("", elem_id="speculate-cost")
        self.named = ("prompt", "drafter", "rule", *PLAIN)
        self.asked = [
            *(self.parts[name] for name in self.named),
            *self.extra,
            *self.of_drafter.inputs,
            *self.of_rule.inputs,
        ]
        for control in self.asked:
            # The request checks what it is told, in words: a number out of range here must not
            # stop every event without any.
            control.preprocess = lambda sent: sent

    def read(self, told: Sequence[Any]) -> Asked:
        """Return what the values of ``asked`` say."""
        values = dict(zip(self.named, told, strict=False))
        at = len(self.named)
        extra = told[at : at + len(EXTRA)]
        values |= read(SpeculateRequest, list(EXTRA), tuple(extra))
        at += len(EXTRA)
        middle = at + len(self.of_drafter.inputs)
        drafter = self.of_drafter.read(values["drafter"], told[at:middle])
        return Asked(values, drafter, self.of_rule.read(values["rule"], told[middle:]))

    def filled(self, found: Values) -> dict[Any, Any]:
        """Return the values of the parameters' controls for the methods of an opened run."""
        placed: dict[Any, Any] = {}
        for name, group in (("drafter", self.of_drafter), ("rule", self.of_rule)):
            spec = found.pop(f"{name}_parameters", None)
            if spec is not None:
                filled = group.fill(spec.slug, spec.parameters)
                placed |= dict(zip(group.inputs, filled, strict=True))
        extra = found.pop("extra", None)
        if extra is not None:
            placed |= dict(zip(self.extra, extra, strict=True))
        return placed

    def _question(self, lab: Lab, first: Values) -> None:
        parts = self.parts
        names = [info.name for info in lab.models()]
        drafts = first.get("draft_model", {"value": "bundled/draft", "visible": True})
        with gr.Row(elem_classes="tk-runbar"):
            with gr.Column(scale=5, min_width=300):
                parts["prompt"] = gr.Textbox(
                    first.get("prompt", ""),
                    label="Prompt",
                    lines=3,
                    max_lines=6,
                    placeholder="Type or paste a text that the model shall continue.",
                    elem_id="speculate-prompt",
                )
            with gr.Column(scale=2, min_width=240):
                parts["model"] = gr.Dropdown(
                    names,
                    value=first.get("model", names[0]),
                    label="Large model: whose text it is",
                    allow_custom_value=True,
                    elem_id="speculate-model",
                )
                parts["draft_model"] = gr.Dropdown(
                    names,
                    value=drafts["value"],
                    visible=drafts["visible"],
                    label="Small model: guesses",
                    allow_custom_value=True,
                    elem_id="speculate-draft-model",
                )
                with gr.Row():
                    self.go = gr.Button("Run", variant="primary", elem_id="speculate-run")
                    self.stop = gr.Button("Cancel", elem_id="speculate-cancel")

    def _methods(self, lab: Lab, first: Values, offered: dict[str, Any]) -> None:
        parts = self.parts
        with gr.Row():
            parts["drafter"] = gr.Dropdown(
                [(drafter.title, drafter.slug) for drafter in lab.methods(Drafter)],
                value=self.drafter,
                label="Drafter: how to guess",
                elem_id="drafter",
            )
            parts["rule"] = gr.Dropdown(
                offered["choices"] or [(rule.title, rule.slug) for rule in lab.methods(Rule)],
                value=offered["value"],
                label="Rule: which guesses stay",
                elem_id="rule",
            )
            parts["temperature"] = gr.Slider(
                0, 2, value=first.get("temperature", 0.0), step=0.05, label="Temperature",
                info="0 takes the likeliest token.", elem_id="temperature",
            )  # fmt: skip
        with gr.Row():
            fields = SpeculateRequest.model_fields
            made = controls(SpeculateRequest, list(SLIDERS))
            for name, control in zip(SLIDERS, made, strict=True):
                control.value = first.get(name, fields[name].default)
                control.elem_id = name.replace("_", "-")
                parts[name] = control

    def _parameters(self, lab: Lab, first: Values, rule: str) -> None:
        with gr.Accordion("Parameters of drafter and rule, sampling, stored runs", open=False):
            with gr.Row(elem_classes="tk-options tk-policies"):
                self.of_drafter = MethodParameters(lab.methods(Drafter), self.drafter)
                self.of_rule = MethodParameters(lab.methods(Rule), rule)
            with gr.Row(elem_classes="tk-options"):
                self.extra = controls(SpeculateRequest, list(EXTRA))
            self.library = gr.Dropdown([], label="Open a stored run", elem_id="speculate-stored")
        for name, group in (("drafter", self.of_drafter), ("rule", self.of_rule)):
            spec = first.get(f"{name}_parameters")
            if spec is not None:
                for control, value in zip(
                    group.inputs, group.fill(spec.slug, spec.parameters), strict=True
                ):
                    control.value = value
