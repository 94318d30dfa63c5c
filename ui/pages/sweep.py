"""Trade-off: the policies of the Cache page at several budgets, on the prompt or on a task."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import gradio as gr
import numpy as np

from tokenarium.backend import ModelRequest, Run, SweepRequest, SweepResult, Task
from tokenarium.ui.components.cost_card import sweep_card
from tokenarium.ui.components.recipe import specs_of
from tokenarium.ui.components.run_csv import points_csv
from tokenarium.ui.components.turns import given
from tokenarium.ui.panels.cache.tradeoff import Points
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Scene, Values, number
from tokenarium.ui.shell.section import File, Section
from tokenarium.ui.why.number import number as why_number
from tokenarium.ui.why.number import source
from tokenarium.ui.why.said import marked

PROMPT = ""
"""The task that is none: the prompt of the page is continued."""


class Sweep(Section):
    """Measures every chosen policy at every budget."""

    slug, title, go = "sweep", "Trade-off", "Sweep"
    intro = (
        "The chosen policies at several budgets: quality against bytes and against time. Points "
        "that are done are not done again."
    )
    kinds = (SweepRequest,)
    needs = frozenset({"attention_recall"})
    panels = (Points,)
    partial_every_s: ClassVar[float] = 0.0
    files: ClassVar[dict[str, File]] = {"points.csv": File("Table of points (CSV)", points_csv)}

    def build(self, controls: Controls) -> None:
        """Make the choice of a task, budgets, length and trials."""
        tasks = [(task.title, task.slug) for task in self.lab.methods(Task)]
        with gr.Row():
            controls.add(
                "sweep_task",
                gr.Dropdown(
                    [("continue the prompt above", PROMPT), *tasks],
                    value=PROMPT,
                    label="On",
                    elem_id="sweep-task",
                ),
            )
            budgets = gr.Textbox("0.5, 0.25, 0.1", label="Budgets (shares of the prompt)")
            controls.add("sweep_budgets", budgets)
            length = gr.Number(256, label="Prompt tokens of a task", precision=0)
            controls.add("sweep_length", length)
            controls.add("sweep_trials", gr.Slider(1, 50, 5, step=1, label="Trials per point"))

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one sweep over the page's policies with their parameters."""
        task = asked["sweep_task"] if isinstance(asked["sweep_task"], str) else PROMPT
        read = given(asked["text"], asked["turns"])
        prompts = {"prompts": (read.get("text") or read.get("messages"),)}
        chosen = prompts if task == PROMPT else {"task": task}
        budgets = str(asked["sweep_budgets"]).split(",")
        wanted = self.lab.request(
            SweepRequest,
            model=asked["model"],
            policies=specs_of(asked),
            budgets=[entry.strip() for entry in budgets if entry.strip()],
            depths=(0.5,) if task == PROMPT else (0.1, 0.5, 0.9),
            length=int(number(asked["sweep_length"], 8, 1_000_000, 256)),
            trials=int(number(asked["sweep_trials"], 1, 1000, 5)),
            **chosen,
        )
        return [wanted]

    def said(self, scene: Scene[SweepResult, SweepRequest]) -> str:
        """Return how many points are measured, and what they say."""
        result = scene.result
        run = scene.runs[0].id if scene.runs else ""
        measured = why_number(f"{len(result.policy)}", source("points_done"), run)
        points = why_number(f"{result.points}", source("points"), run)
        done = f"{measured} of {points} points measured."
        verdict = f" {result.verdict[0].upper()}{result.verdict[1:]}." if result.verdict else ""
        verdict = marked(verdict, "verdict", run)
        refused = sorted({reason for reason in result.refused if reason})[:4]
        left_out = "".join(
            f'<p class="tk-sub">{marked(reason, "refused", run, result.refused.index(reason))}</p>'
            for reason in refused
        )
        about = "".join(f'<p class="tk-sub">{line}</p>' for line in how_asked(scene, run))
        return f'<p class="tk-sentence">{done}{verdict}</p>{about}{left_out}'

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return what the sweep will take."""
        return sweep_card(cost)

    def point(self, run: Run, number: int) -> ModelRequest | None:
        """Return the run of a point, as it was done in the sweep."""
        result, asked = run.result, run.request
        assert isinstance(result, SweepResult)
        assert isinstance(asked, SweepRequest)
        if not 0 <= number < len(result.policy):
            return None
        depth = float(result.depth[number])
        ratio = _nearest((*asked.budgets, 1.0), float(result.ratio[number]))
        known = None if np.isnan(depth) else _nearest(asked.depths, depth)
        return asked.point(int(result.policy[number]), ratio, known)


def how_asked(scene: Scene[SweepResult, SweepRequest], run: str = "") -> Iterator[str]:
    """Yield what one must know of how a sweep was measured, as HTML."""
    result = scene.result
    if result.asked_as is None:
        yield (
            "Measured by an older version: the first token of every answer came from the full "
            "cache. Run the sweep again."
        )
    elif result.asked_as == "chat":
        yield "Asked in the turns of the model's chat template, the answer begun."
    measured = [not reason for reason in result.refused]
    if result.acts_in is not None and result.layers is not None and any(measured):
        fewest = int(result.acts_in[measured].min())
        if fewest < result.layers:
            layers = why_number(f"{result.layers}", source("layers"), run)
            acting = why_number(f"{fewest}", source("fewest_layers"), run)
            yield (
                f"Some points act in {acting} of {layers} layers only: the others keep to a "
                "window of the model, which is smaller than the budget."
            )


def _nearest(asked: Sequence[float], found: float) -> float:
    """Return the number as it was asked for; a result has it in single precision."""
    return min(asked, key=lambda own: abs(own - found))
