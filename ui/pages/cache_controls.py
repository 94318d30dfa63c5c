"""What is asked on the Cache page: prompt, model, policies with their parameters, budget; cost."""

from typing import Any

import gradio as gr

from tokenarium.backend import Lab, Policy
from tokenarium.ui.components.policies import PolicyParameters
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.pages.cache import MOST_POLICIES, UNITS
from tokenarium.ui.views.view import Values

USUAL = ["full", "recent", "streaming_llm", "h2o"]


class CacheControls:
    """Build the controls; ``asked`` lists them in the order in which handlers are told of them."""

    def __init__(self, lab: Lab, first: Values) -> None:
        self.parts: dict[str, Any] = {}
        self._question(lab, first)
        self._policies(lab, first)
        self.parts["cache_cost"] = gr.HTML("", elem_id="cache-cost")
        names = ("model", "prompt", "policies", "budget", "unit", "new_tokens", "oracle")
        self.asked = [self.parts[f"cache_{name}"] for name in names]

    def _question(self, lab: Lab, first: Values) -> None:
        parts = self.parts
        names = [info.name for info in lab.models()]
        with gr.Row(elem_classes="tk-runbar"):
            with gr.Column(scale=5, min_width=300):
                parts["cache_prompt"] = gr.Textbox(
                    first.get("cache_prompt", ""),
                    label="Prompt",
                    lines=3,
                    max_lines=6,
                    placeholder="Type or paste a text that the model shall continue.",
                    elem_id="cache-prompt",
                )
            with gr.Column(scale=2, min_width=240):
                parts["cache_model"] = gr.Dropdown(
                    names,
                    value=first.get("cache_model", names[0]),
                    label="Model",
                    allow_custom_value=True,
                    elem_id="cache-model",
                )
                with gr.Row():
                    self.go = gr.Button("Run", variant="primary", elem_id="cache-run")
                    self.stop = gr.Button("Cancel", elem_id="cache-cancel")

    def _policies(self, lab: Lab, first: Values) -> None:
        parts = self.parts
        chosen = first.get("cache_policies", USUAL)
        with gr.Row():
            parts["cache_policies"] = gr.Dropdown(
                [(policy.title, policy.slug) for policy in lab.methods(Policy)],
                value=chosen,
                multiselect=True,
                max_choices=MOST_POLICIES,
                label=f"Policies (up to {MOST_POLICIES})",
                info="The first one is what the others' bytes are compared with.",
                elem_id="policies",
                scale=3,
            )
            parts["cache_budget"] = gr.Number(
                first.get("cache_budget", 48), label="Budget", minimum=0, elem_id="budget"
            )
            parts["cache_unit"] = gr.Dropdown(
                [(title, name) for name, title in UNITS.items()],
                value=first.get("cache_unit", "tokens"),
                label="Budget counts",
                elem_id="budget-unit",
            )
            parts["cache_new_tokens"] = gr.Slider(
                1, 512, value=first.get("cache_new_tokens", 48), step=1, label="New tokens"
            )
        with gr.Accordion("Parameters of the chosen policies", open=False):
            self.parameters = PolicyParameters(lab.methods(Policy), chosen)
        with gr.Accordion("What every policy does, stored runs", open=False):
            with gr.Row():
                parts["cache_oracle"] = gr.Checkbox(
                    True, label="Full cache alongside", info="Tells what each policy costs."
                )
                self.library = gr.Dropdown([], label="Open a stored run", elem_id="cache-stored")
            gr.HTML(_declared(lab))


def _declared(lab: Lab) -> str:
    """Return what every policy is, from its declaration."""
    columns = (
        Column("policy"),
        Column("really", "What it does: evict frees memory, select keeps all and reads a part."),
        Column("keeps"),
        Column("source"),
    )
    rows: list[list[Cell]] = [
        [
            policy.title + (" (variant)" if policy.differs != "no" else ""),
            policy.label,
            policy.explanation,
            policy.paper,
        ]
        for policy in lab.methods(Policy)
    ]
    return table_html(columns, rows, "The policies, from their own declarations", "None.")
