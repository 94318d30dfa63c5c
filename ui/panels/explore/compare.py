"""Compare: this run beside another one, on the same scales; which heads switch."""

from collections.abc import Iterator
from typing import ClassVar

import gradio as gr

from tokenarium.backend import (
    MEASURES,
    Comparison,
    Run,
    TraceRequest,
    TraceResult,
    UserError,
    compare,
)
from tokenarium.ui.components.table import Cell, Column, Link, Number, table, table_html
from tokenarium.ui.figures.compare import difference_grid, side_by_side, switching_heads
from tokenarium.ui.panels.explore.other_run import NEWEST, OTHER, Other, name_of, other_run
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.panels.explore.sinks import length_of, threshold_of
from tokenarium.ui.shell.panel import Action, Panel, Values, choice
from tokenarium.ui.shell.stored import run_picker
from tokenarium.ui.text import escape
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.views import of_switching

COLUMNS = (
    Column("head", "Press one to open it."),
    Column("sink score here", "Mean attention to the first token, in the run that is shown."),
    Column("in the other run", "The same in the other run."),
)
OF_TEXT = {"text", "messages"}
"""Fields of a request that say what is read; the others say how."""
EMPTY: Values = {
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
            picker = run_picker(self.lab, "trace", "Compare with", "other-run")
            self.control(OTHER, picker)
            self.parts[OTHER] = picker
            self.pickers.append((picker, "trace"))
            names = [(m.title, name) for name, m in MEASURES.items() if name in _ALWAYS]
            self.control(
                "compare_measure",
                gr.Dropdown(names, value="sink", label="Measure", elem_id="compare-measure"),
            )
        with gr.Row(equal_height=True):
            self.text = gr.Textbox(
                label="Second text",
                placeholder="A text to compare with, read by the same model.",
                lines=1,
                max_lines=3,
                scale=4,
                elem_id="second-text",
            )
            self.control("second_text", self.text, redraws=False)
            self.go = gr.Button("Read a second text", size="sm", elem_id="read-second", scale=1)
        self.parts["compare_said"] = gr.HTML("", elem_id="compare-said")
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

    def actions(self) -> list[Action]:
        """Return what reads a second text."""
        return [Action([self.go.click, self.text.submit], self.read_second)]

    def read_second(self, scene: TraceScene) -> Iterator[Values]:
        """Let the same model read another text in the same way, and compare with that."""
        text = scene.settings.get("second_text")
        if not isinstance(text, str) or not text.strip():
            raise UserError("There is no second text yet: type one beside the button.")
        asked = scene.request
        same = {name: getattr(asked, name) for name in TraceRequest.model_fields.keys() - OF_TEXT}
        request = self.lab.request(TraceRequest, **same, text=text)
        run = yield from self.asked(scene, request)
        measured = scene.having(**{OTHER: run.id})
        yield {"status": "", **self.draw(measured)}

    def draw(self, scene: TraceScene) -> Values:
        """Return every part."""
        other = other_run(self.lab, scene)
        if other.run is None or other.result is None:
            return {**EMPTY, OTHER: gr.Dropdown(value=None), "compare_said": _offer(other)}
        told = (threshold_of(scene), length_of(scene))
        found = compare(scene.result, other.result, *told)
        of = of_switching(self.lab, scene.runs[0], other.run, *told) if scene.runs else None
        measure = choice(scene.settings.get("compare_measure"), _ALWAYS, "sink")
        here, name = name_of(scene.result), other.name
        return {
            **self._picked(scene, other.run),
            "compare_said": opening(self.lab, _said(found, other), of),
            "switching": scene.drawn(switching_heads(found, here, name)),
            "difference": scene.drawn(difference_grid(found, measure)),
            "side_by_side": scene.drawn(side_by_side(found, measure, here, name)),
            "compare_table": opening(self.lab, _table(found), of),
        }

    @staticmethod
    def _picked(scene: TraceScene, run: Run) -> Values:
        """Return the choice of the other run, where it is to say another one than it does."""
        if scene.settings.get(OTHER) == run.id:
            return {}
        assert isinstance(run.result, TraceResult)
        choices = [(f"{name_of(run.result)} · {scene.request.model}", run.id)]
        return {OTHER: gr.Dropdown(choices, value=run.id)}


_ALWAYS = tuple(name for name in MEASURES if name not in ("other_sink", "echo", "induction"))
"""Measures that need nothing but the two runs."""


def _offer(other: Other) -> str:
    """Say that nothing is there to compare with, and how that is mended."""
    why = f"{other.refused} " if other.refused else ""
    return (
        f'<p class="tk-sub">{escape(why)}No other text that this model has read is stored yet: '
        "type one above and press Read a second text, or open a stored run.</p>"
    )


def _said(found: Comparison, other: Other) -> str:
    count = number(f"{int(found.switched.sum())}", source("switched"))
    heads = number(f"{found.switched.size}", source("heads"))
    length = number(f"{found.length}", source("length"))
    usual = f"{escape(other.name)} is the {NEWEST}: choose another above. " if other.newest else ""
    return (
        f'<p class="tk-sentence"><b>{count} of {heads}</b> heads switch between this '
        f"run and {escape(other.name)}: their sink score over the first {length} tokens is above "
        f"{found.threshold:.0%} in one and not in the other.</p>"
        f'<p class="tk-sub">{escape(other.refused)} {usual}Threshold and queries are those of the '
        "Sinks view.</p>"
    )


def _table(found: Comparison) -> str:
    here, there = found.first["sink"], found.second["sink"]
    rows: list[list[Cell]] = [
        [
            Link(f"layer {layer}, head {head}", {"layer": int(layer), "head": int(head)}),
            Number(f"{here[layer, head]:.2f}", source("first", layer, head)),
            Number(f"{there[layer, head]:.2f}", source("second", layer, head)),
        ]
        for layer, head in zip(*found.switched.nonzero(), strict=True)
    ]
    return table_html(COLUMNS, rows, "The heads that switch", "No head switches.")
