"""Where everything stands on the Cache page, and which event calls which handler."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from backend import Lab, ModelRequest
from ui.components.lanes import lanes
from ui.components.plot import plot
from ui.components.table import Cell, Column, table, table_html
from ui.figures.tradeoff import MEASURES
from ui.pages.cache import MOST_POLICIES, UNITS, Asked, CachePage
from ui.pages.tradeoff import PROMPT, Tradeoff
from ui.views.view import Values

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}
USUAL = ["full", "recent", "streaming_llm", "h2o"]
FIGURES = {
    "cache_map": (
        "What one head holds",
        "Every row is a step: blue tokens are held, pale ones are gone.",
    ),
    "cache_scores": (
        "How the policy scores the text",
        "Above the dashed line stays. Diamonds are close decisions.",
    ),
    "cache_bytes": ("Memory", "Bytes of the storage, counted, not computed."),
    "cache_time": ("Time", "Wall time of every step, the oracle's left out."),
    "cache_cost": ("Cost", "How far the prediction moves from the full cache's."),
    "cache_lost": ("What is missed", "The full model's attention to tokens that are gone."),
}


class CacheLayout:
    """Build the Cache page inside the current ``gr.Blocks``."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.page, self.tradeoff = lab, CachePage(lab), Tradeoff(lab)
        self.parts: dict[str, Any] = {}
        self._run_bar()
        self._views()
        self._events()

    def _run_bar(self) -> None:
        parts, lab = self.parts, self.lab
        names = [info.name for info in lab.models()]
        with gr.Row(elem_classes="tk-runbar"):
            with gr.Column(scale=5, min_width=300):
                parts["cache_prompt"] = gr.Textbox(
                    _first_text(lab),
                    label="Prompt",
                    lines=3,
                    max_lines=6,
                    elem_id="cache-prompt",
                )
            with gr.Column(scale=2, min_width=240):
                parts["cache_model"] = gr.Dropdown(
                    names, value=names[0], label="Model", allow_custom_value=True
                )
                with gr.Row():
                    self.go = gr.Button("Run", variant="primary", elem_id="cache-run")
                    self.stop = gr.Button("Cancel", elem_id="cache-cancel")
        with gr.Row():
            self.policies = gr.Dropdown(
                [(policy.title, policy.slug) for policy in lab.policies()],
                value=[p.slug for p in lab.policies() if p.slug in USUAL],
                multiselect=True,
                max_choices=MOST_POLICIES,
                label=f"Policies (up to {MOST_POLICIES})",
                info="The first one is what the others' bytes are compared with.",
                elem_id="policies",
            )
            self.budget = gr.Number(48, label="Budget", minimum=0, elem_id="budget")
            self.unit = gr.Dropdown(
                [(title, name) for name, title in UNITS.items()],
                value="tokens",
                label="Budget counts",
                elem_id="budget-unit",
            )
            self.new_tokens = gr.Slider(1, 512, value=48, step=1, label="New tokens")
        with gr.Accordion("Parameters, what each policy does, stored runs", open=False):
            with gr.Row():
                self.parameters = gr.Textbox(
                    "",
                    label="Parameters",
                    info="policy.parameter = value, separated by commas; see the table for names.",
                    elem_id="policy-parameters",
                )
                self.oracle = gr.Checkbox(
                    True, label="Full cache alongside", info="Tells what each policy costs."
                )
                self.library = gr.Dropdown([], label="Open a stored run", elem_id="cache-stored")
            gr.HTML(_declared(lab))
        parts["cache_status"] = gr.HTML("", elem_id="cache-status")

    def _views(self) -> None:
        parts = self.parts
        parts["lanes"] = lanes(None)
        parts["cache_table"] = table(_INTRODUCTION, "cache")
        with gr.Row(visible=False) as parts["cache_place"]:
            parts["cache_which"] = gr.Dropdown([], label="Policy in the map", elem_id="cache-which")
            parts["cache_layer"] = gr.Slider(
                0, 1, value=0, step=1, label="Layer", elem_id="cache-layer"
            )
            parts["cache_head"] = gr.Slider(
                0, 1, value=0, step=1, label="KV head", elem_id="cache-head"
            )
            self.step = gr.Slider(0, 512, value=512, step=1, label="Scores at step")
        names = list(FIGURES)
        for pair in zip(names[::2], names[1::2], strict=True):
            with gr.Row(equal_height=False):
                for name in pair:
                    with gr.Column(min_width=320):
                        parts[name] = plot(None, name, *FIGURES[name])
        parts["cache_facts"] = gr.HTML("")
        parts["cache_run"] = gr.State(None)
        self._sweep()

    def _sweep(self) -> None:
        parts = self.parts
        gr.HTML(
            '<h2>Trade-off</h2><p class="tk-sub">The chosen policies at several budgets: quality '
            "against bytes and against time. Points that are done are not done again.</p>"
        )
        tasks = [(task.title, task.slug) for task in self.lab.tasks()]
        with gr.Row():
            self.sweep: dict[str, Any] = {
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
        with gr.Row():
            self.sweep_go = gr.Button("Sweep", variant="primary", size="sm", elem_id="sweep")
            self.sweep_stop = gr.Button("Cancel", size="sm")
        parts["sweep_status"] = gr.HTML("", elem_id="sweep-status")
        parts["sweep_said"] = gr.HTML("", elem_id="sweep-said")
        with gr.Row(equal_height=False):
            for name, title in (("sweep_bytes", "Against bytes"), ("sweep_ms", "Against time")):
                with gr.Column(min_width=320):
                    parts[name] = plot(None, name, title, "A line joins the budgets of a policy.")
        parts["sweep_table"] = table(None, "sweep")
        parts["sweep_run"] = gr.State(None)

    def _events(self) -> None:
        parts = self.parts
        every = list(parts.values())
        place = [parts["cache_layer"], parts["cache_head"], self.step, parts["cache_which"]]
        asked = [
            parts["cache_model"],
            parts["cache_prompt"],
            self.policies,
            self.parameters,
            self.budget,
            self.unit,
            self.new_tokens,
            self.oracle,
        ]
        running = self.go.click(self._run, [*asked, *place], every, concurrency_limit=None, **QUIET)
        self.stop.click(None, cancels=[running], queue=False, **QUIET)
        moves = [component.input for component in place]
        gr.on(moves, self._moved, [parts["cache_run"], *place], every, **EAGER)
        self.library.focus(self._listed, None, self.library, **EAGER)
        self.library.input(self._opened, [self.library, *place], every, **EAGER)

        swept = [
            parts["cache_model"],
            parts["cache_prompt"],
            self.policies,
            *self.sweep.values(),
        ]
        sweeping = self.sweep_go.click(self._swept, swept, every, concurrency_limit=None, **QUIET)
        self.sweep_stop.click(None, cancels=[sweeping], queue=False, **QUIET)
        self.sweep["measure"].input(self._restyled, [parts["sweep_run"], *swept], every, **EAGER)

    def _swept(self, model: object, request: gr.Request, *told: Any) -> Iterator[Values]:
        for found in self.tradeoff.run(self._sweep_asked(model, *told), request):
            yield self._placed(found)

    def _restyled(self, run_id: object, request: gr.Request, *told: Any) -> Values:
        return self._placed(self.tradeoff.restyle(run_id, self._sweep_asked(*told), request))

    def _sweep_asked(self, *told: object) -> dict[str, object]:
        return dict(zip(("model", "prompt", "policies", *self.sweep), told, strict=True))

    def _run(self, model: object, request: gr.Request, *told: Any) -> Iterator[Values]:
        asked, place = Asked(model, *told[:7]), told[7:]
        for found in self.page.run(asked, place, request):
            yield self._placed(found)

    def _moved(self, run_id: object, request: gr.Request, *place: Any) -> Values:
        return self._placed(self.page.move(run_id, place, request))

    def _opened(self, run_id: object, request: gr.Request, *place: Any) -> Values:
        return self._placed(self.page.open(run_id, place, request))

    def _listed(self, request: gr.Request) -> gr.Dropdown:
        return gr.Dropdown(choices=self.page.stored(request))

    def _placed(self, found: Values) -> Values:
        found = found or {"cache_status": gr.skip()}
        return {self.parts[name]: value for name, value in found.items()}


_INTRODUCTION = (
    '<p class="tk-sub">Choose policies and a budget and press Run: the model reads the prompt, '
    "each policy drops what it does not want to keep, and every decision can be replayed here.</p>"
)


def _declared(lab: Lab) -> str:
    """Return what every policy is, from its declaration."""
    columns = (
        Column("policy"),
        Column("name", "As written before the dot of a parameter."),
        Column("really", "What it does: evict frees memory, select keeps all and reads a part."),
        Column("keeps"),
        Column("parameters", "Name and default."),
        Column("source"),
    )
    rows: list[list[Cell]] = [
        [
            policy.title + (" (variant)" if policy.differs != "no" else ""),
            policy.slug,
            policy.label,
            policy.explanation,
            ", ".join(f"{n} = {f.default}" for n, f in policy.model_fields.items()),
            policy.paper,
        ]
        for policy in lab.policies()
    ]
    return table_html(columns, rows, "The policies, from their own declarations", "None.")


def _first_text(lab: Lab) -> str:
    examples = lab.examples()
    asked = lab.open(examples[0].run_id).request if examples else None
    return asked.given_text if isinstance(asked, ModelRequest) else ""
