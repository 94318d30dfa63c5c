"""Compare: this run beside another one, on the same scales; which heads switch."""

from typing import ClassVar

import gradio as gr

from tokenarium.backend import MEASURES, Comparison, Lab, TraceResult, UserError, compare
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.table import Cell, Column, Link, table, table_html
from tokenarium.ui.figures.compare import difference_grid, side_by_side, switching_heads
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.panels.explore.sinks import length_of, threshold_of
from tokenarium.ui.shell.panel import Panel, Values, choice
from tokenarium.ui.shell.stored import run_picker
from tokenarium.ui.text import escape, one_line

OTHER = "other_run"
COLUMNS = (
    Column("head", "Press one to open it."),
    Column("sink score here", "Mean attention to the first token, in the run that is shown."),
    Column("in the other run", "The same in the other run."),
)
EMPTY: Values = {
    "compare_said": '<p class="tk-sub">Choose another run of this model to compare with.</p>',
    "switching": None,
    "side_by_side": None,
    "difference": None,
    "compare_table": "",
}


class Compare(Panel):
    """Sink scores and every other measure of the heads in two runs, and their difference."""

    slug, title = "compare", "Compare"
    uses: ClassVar[frozenset[str]] = frozenset()

    def build(self) -> None:
        """Make the choice of the other run, and the figures."""
        with gr.Row():
            known = self.lab.examples("trace")
            other = known[-1].run_id if known else None
            picker = run_picker(self.lab, "trace", "Compare with", "other-run", other)
            self.control(OTHER, picker)
            self.pickers.append((picker, "trace"))
            names = [(m.title, name) for name, m in MEASURES.items() if name in _ALWAYS]
            self.control(
                "compare_measure",
                gr.Dropdown(names, value="sink", label="Measure", elem_id="compare-measure"),
            )
        self.parts["compare_said"] = gr.HTML(EMPTY["compare_said"], elem_id="compare-said")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.figure(
                    "switching",
                    "Which heads switch",
                    "Sink score in both runs; a head far from the diagonal is parked on one text "
                    "and at work on the other. Click one to open it.",
                )
            with gr.Column(min_width=320):
                self.figure("difference", "What changes", "The other run less this one.")
        self.figure("side_by_side", "Both runs", "One scale of colours for both.")
        self.parts["compare_table"] = table(None, "compare")

    def draw(self, scene: TraceScene) -> Values:
        """Return every part."""
        try:
            other, name = other_run(self.lab, scene)
            if other is None:
                return EMPTY
            found = compare(scene.result, other, threshold_of(scene), length_of(scene))
        except (UserError, ValueError) as error:
            return {**EMPTY, "compare_said": status(str(error), "error")}
        measure = choice(scene.settings.get("compare_measure"), _ALWAYS, "sink")
        here = _name(scene.result)
        return {
            "compare_said": _said(found, name),
            "switching": scene.drawn(switching_heads(found, here, name)),
            "difference": scene.drawn(difference_grid(found, measure)),
            "side_by_side": scene.drawn(side_by_side(found, measure, here, name)),
            "compare_table": _table(found),
        }


_ALWAYS = tuple(name for name in MEASURES if name not in ("other_sink", "echo", "induction"))
"""Measures that need nothing but the two runs."""


def other_run(lab: Lab, scene: TraceScene) -> tuple[TraceResult | None, str]:
    """Return the run that was chosen to compare with, and what to call it.

    Raises:
        UserError: if there is no such run.
    """
    run_id = scene.settings.get(OTHER)
    if not isinstance(run_id, str) or not run_id or run_id == scene.chosen.run:
        return None, ""
    run = lab.open(run_id, visitor=scene.visitor)
    if not isinstance(run.result, TraceResult):
        raise UserError(f"run={run_id} is a {run.request.kind}, not a trace: choose a trace")
    shape, here = (run.result.layers, run.result.heads), (scene.result.layers, scene.result.heads)
    if shape != here and run_id in {example.run_id for example in lab.examples("trace")}:
        return None, ""  # where the list begins, which nobody chose: of another model
    return run.result, _name(run.result)


def _name(result: TraceResult) -> str:
    words = "".join(result.token_text[1:8] if result.special[0] else result.token_text[:7])
    return f"“{one_line(words).strip()[:24]}…”"


def _said(found: Comparison, name: str) -> str:
    count = int(found.switched.sum())
    return (
        f'<p class="tk-sentence"><b>{count} of {found.switched.size}</b> heads switch between this '
        f"run and {escape(name)}: their sink score over the first {found.length} tokens is above "
        f"{found.threshold:.0%} in one and not in the other.</p>"
        '<p class="tk-sub">Threshold and length are those of the Sinks view.</p>'
    )


def _table(found: Comparison) -> str:
    here, there = found.first["sink"], found.second["sink"]
    rows: list[list[Cell]] = [
        [
            Link(f"layer {layer}, head {head}", {"layer": int(layer), "head": int(head)}),
            f"{here[layer, head]:.2f}",
            f"{there[layer, head]:.2f}",
        ]
        for layer, head in zip(*found.switched.nonzero(), strict=True)
    ]
    return table_html(COLUMNS, rows, "The heads that switch", "No head switches.")
