"""Quality against bytes and against time: every measured point of a sweep."""

import gradio as gr
import numpy as np

from tokenarium.backend import QUALITY_MEASURES, SweepRequest, SweepResult, measured_here
from tokenarium.ui.components.budget_table import budget_answer
from tokenarium.ui.components.quality import line_of, measure_of, quality_box, quality_value
from tokenarium.ui.components.table import Cell, Column, Link, Number, Numbers, table, table_html
from tokenarium.ui.figures.tradeoff import tradeoff
from tokenarium.ui.shell.panel import Panel, Scene, Values, choice
from tokenarium.ui.text import escape
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.budgets import of_budgets
from tokenarium.ui.why.number import of_run, source

COLUMNS = (
    Column("policy"),
    Column("budget", "Share of the prompt that may be kept."),
    Column("depth", "Where what is asked for stands: 0 at the start, 1 before the question."),
    Column("right", "Answers of which every token is the likeliest, of how many."),
    Column("accuracy", "With its 95 % Wilson interval."),
    Column("right tokens", "Share of the answer's tokens that are the likeliest."),
    Column("KL to full", "Mean divergence from the full cache, in nats."),
    Column(
        "attention recall",
        "The full model's attention to what was kept and read, where it predicts the answer.",
    ),
    Column("cache", "Bytes held, mean."),
    Column("ms per token", "Median and 90th percentile."),
)
EXPLANATION = (
    "A line joins the budgets of a policy. Click a point to open its run above; drag the quality "
    "line, or move it with the arrow keys."
)


class Points(Panel):
    """A quality line and what holds it; two figures and a table of points, which open their run."""

    slug = "points"

    def build(self) -> None:
        """Make the choice of a measure and a line, their answer, figures and table."""
        with gr.Row(equal_height=True):
            picker = gr.Dropdown(
                [(measure.title, name) for name, measure in QUALITY_MEASURES.items()],
                value="kl",
                label="Quality is",
                elem_id="sweep-measure",
            )
            self.control("sweep_measure", picker)
            self.parts["sweep_measure"] = picker
            box = quality_box()
            self.controls["sweep_line"] = self.parts["sweep_line"] = box
            self.redraws.append(box.edit)
        self.parts["sweep_choice"] = table(None, "budgets")
        self.figures(
            {
                "sweep_bytes": ("Against bytes", EXPLANATION),
                "sweep_ms": ("Against time", EXPLANATION),
            }
        )
        self.parts["sweep_table"] = table(None, "sweep")

    def draw(self, scene: Scene[SweepResult, SweepRequest]) -> Values:
        """Return the answer to the line, figures and table."""
        result = scene.result
        told = scene.settings.get("sweep_line")
        measure = choice(scene.settings.get("sweep_measure"), tuple(QUALITY_MEASURES), "kl")
        measure = measure_of(told, measure)
        line = line_of(told, measure, result)
        higher = QUALITY_MEASURES[measure].higher
        chosen = result.choose(measure, **{"at_least" if higher else "at_most": line})
        run_id = scene.runs[0].id if scene.runs else ""
        here = (measured_here(run.environment, self.lab.settings) for run in scene.runs)
        answer = budget_answer(result, scene.request, chosen, timed=all(here), run_id=run_id)
        found = of_budgets(self.lab, scene.runs[0], chosen) if scene.runs else None
        return {
            "sweep_measure": measure,
            "sweep_line": quality_value(measure, line),
            "sweep_choice": lacking(result, measure) or opening(self.lab, answer, found),
            "sweep_bytes": scene.drawn(tradeoff(result, measure, "bytes", line)),
            "sweep_ms": scene.drawn(tradeoff(result, measure, "ms", line)),
            "sweep_table": of_run(points_table(result), run_id),
        }


def lacking(result: SweepResult, measure: str) -> str:
    """Return, as HTML, that an older version did not measure this; empty where it is there."""
    chosen = QUALITY_MEASURES[measure]
    if chosen.field not in result.missing:
        return ""
    return (
        f'<p class="tk-sentence">This sweep was measured by an older version, without '
        f"{escape(chosen.title)}: sweep again to have it.</p>"
    )


def _budget(result: SweepResult, n: int) -> Cell:
    """Return a point's budget, and in how many layers it acts, where that is not all of them."""
    ratio = Number(f"{result.ratio[n]:.0%}", source("ratio", n))
    if result.acts_in is None or result.layers is None or result.acts_in[n] == result.layers:
        return ratio
    acting = Number(f"{int(result.acts_in[n])}", source("acts_in", n))
    layers = Number(f"{result.layers}", source("layers"))
    return Numbers((ratio, "; acts in ", acting, " of ", layers, " layers"))


def points_table(result: SweepResult) -> str:
    """Return every measured point, as HTML."""
    rows: list[list[Cell]] = [
        [
            Link(result.titles[result.policy[n]], {"point": n}),
            _budget(result, n),
            "any"
            if np.isnan(result.depth[n])
            else Number(f"{result.depth[n]:g}", source("depth", n)),
            Numbers((_one(result, "correct", n, "d"), " of ", _one(result, "trials", n, "d"))),
            Numbers(
                (
                    _one(result, "accuracy", n, ".2f"),
                    " (",
                    _one(result, "accuracy_low", n, ".2f"),
                    " to ",
                    _one(result, "accuracy_high", n, ".2f"),
                    ")",
                )
            ),
            _one(result, "token_accuracy", n, ".2f"),
            _one(result, "kl_nats", n, ".3f"),
            _one(result, "attention_recall", n, ".1%"),
            Number(f"{result.cache_bytes[n] / 2**20:.2f} MiB", source("cache_bytes", n)),
            Numbers(
                (_one(result, "step_ms_p50", n, ".1f"), " (",
                 _one(result, "step_ms_p90", n, ".1f"), ")")
            ),
        ]
        for n in range(len(result.policy))
        if not result.refused[n]
    ]  # fmt: skip
    return table_html(COLUMNS, rows, "Every measured point", "Nothing measured yet.")


def _one(result: SweepResult, field: str, n: int, form: str) -> str | Number:
    found = getattr(result, field)
    return "n/a" if found is None else Number(format(found[n], form), source(field, n))
