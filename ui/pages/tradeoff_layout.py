"""Where the trade-off stands on the Cache page."""

from typing import Any

import gradio as gr

from tokenarium.backend import Lab, Task
from tokenarium.ui.components.plot import plot
from tokenarium.ui.components.table import table
from tokenarium.ui.figures.tradeoff import MEASURES
from tokenarium.ui.pages.tradeoff import PROMPT

EXPLANATION = "A line joins the budgets of a policy. Click a point to open its run above."


class TradeoffLayout:
    """Build the controls and the figures."""

    def __init__(self, lab: Lab) -> None:
        self.parts: dict[str, Any] = {}
        gr.HTML(
            '<h2>Trade-off</h2><p class="tk-sub">The chosen policies at several budgets: quality '
            "against bytes and against time. Points that are done are not done again.</p>"
        )
        tasks = [(task.title, task.slug) for task in lab.methods(Task)]
        with gr.Row():
            self.controls: dict[str, Any] = {
                "task": gr.Dropdown(
                    [("continue the prompt above", PROMPT), *tasks],
                    value=PROMPT,
                    label="On",
                    elem_id="sweep-task",
                ),
                "budgets": gr.Textbox("0.5, 0.25, 0.1", label="Budgets (shares of the prompt)"),
                "length": gr.Number(256, label="Prompt tokens of a task", precision=0),
                "trials": gr.Slider(1, 50, value=5, step=1, label="Trials per point"),
                "measure": gr.Dropdown(
                    [(measure.title, name) for name, measure in MEASURES.items()],
                    value="kl",
                    label="Quality is",
                ),
            }
        self.parts["sweep_cost"] = gr.HTML("", elem_id="sweep-cost")
        with gr.Row():
            self.go = gr.Button("Sweep", variant="primary", size="sm", elem_id="sweep")
            self.stop = gr.Button("Cancel", size="sm")
        self._found()

    def _found(self) -> None:
        parts = self.parts
        parts["sweep_status"] = gr.HTML("", elem_id="sweep-status")
        parts["sweep_said"] = gr.HTML("", elem_id="sweep-said")
        with gr.Row(equal_height=False):
            for name, title in (("sweep_bytes", "Against bytes"), ("sweep_ms", "Against time")):
                with gr.Column(min_width=320):
                    parts[name] = plot(None, name, title, EXPLANATION)
        parts["sweep_table"] = table(None, "sweep")
        parts["sweep_run"] = gr.State(None)
