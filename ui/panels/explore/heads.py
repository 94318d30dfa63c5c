"""Heads: every head as a point between two measures, and what kind of head it is."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import (
    LABEL_RULES,
    MEASURES,
    HeadEvidence,
    ProbeRequest,
    ProbeResult,
    UserError,
    head_labels,
    head_measures,
)
from tokenarium.ui.components.table import Cell, Column, Link, Number, table, table_html
from tokenarium.ui.figures.sinks import window
from tokenarium.ui.figures.taxonomy import head_scatter
from tokenarium.ui.panels.explore.other_run import NEWEST, Other, other_run
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.panels.explore.sinks import length_of, threshold_of
from tokenarium.ui.shell.panel import Action, Panel, Values, choice
from tokenarium.ui.text import escape
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.number import source
from tokenarium.ui.why.views import of_kinds

NEEDS = {
    "echo": "the probe",
    "induction": "the probe",
    "other_sink": "a second text, read in Compare",
}
COLUMNS = (
    Column("kind", "The first rule that fits decides."),
    Column("heads", "How many."),
    Column("rule", "What makes a head one of this kind."),
    Column("examples", "Press one to open it."),
)


class Heads(Panel):
    """A scatter of all heads with any measure on either axis, and the kinds of heads."""

    slug, title = "heads", "Kinds of heads"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make the two choices of a measure, the probe's button, scatter and table."""
        with gr.Row(equal_height=True):
            for axis, value in (("across", "sink"), ("up", "previous")):
                self.control(
                    f"heads_{axis}",
                    gr.Dropdown(
                        [(_titled(name), name) for name in MEASURES],
                        value=value,
                        label=f"Measure {axis}",
                        elem_id=f"heads-{axis}",
                    ),
                )
                self.parts[f"heads_{axis}"] = self.controls[f"heads_{axis}"]
            self.probe = gr.Button(
                "Probe for retrieval heads", size="sm", elem_id="probe", min_width=200
            )
        self.remembered("heads_probe")
        self.parts["heads_said"] = gr.HTML("", elem_id="heads-said")
        self.figure(
            "scatter", "Every head", "Shape and colour tell the kind. Click one to open it."
        )
        self.parts["heads_table"] = table(None, "heads")

    def actions(self) -> list[Action]:
        """Return the button of the probe."""
        return [Action([self.probe.click], self.measure)]

    def measure(self, scene: TraceScene) -> Iterator[Values]:
        """Let the model read random tokens again and again, and show which heads look back."""
        asked = scene.request
        request = self.lab.request(
            ProbeRequest, model=asked.model, dtype=asked.dtype, seed=asked.seed
        )
        run = yield from self.asked(scene, request)
        assert isinstance(run.result, ProbeResult)
        told = {"heads_probe": run.id, "heads_across": "echo", "heads_up": "induction"}
        measured = scene.having(**told)
        yield {"status": "", **told, **self.draw(measured)}

    def draw(self, scene: TraceScene) -> Values:
        """Return scatter and table."""
        other = other_run(self.lab, scene)
        length = length_of(scene)
        probe, probed = self._probed(scene), str(scene.settings.get("heads_probe"))
        found = head_measures(HeadEvidence(scene.result, other.result, probe, length))
        labels = head_labels(found, threshold_of(scene))
        runs = {"other": other.run.id if other.run else "", "probe": probed if probe else ""}
        more = {name: each for name, each in runs.items() if each}
        told = (more, threshold_of(scene), length)
        of = of_kinds(self.lab, scene.runs[0], *told) if scene.runs else None
        across, up = (
            choice(scene.settings.get(f"heads_{axis}"), tuple(found), otherwise)
            for axis, otherwise in (("across", "sink"), ("up", "previous"))
        )
        chosen = scene.chosen
        return {
            "heads_said": _said(found, other),
            "scatter": scene.drawn(
                head_scatter(
                    found,
                    labels,
                    across,
                    up,
                    chosen.layer,
                    chosen.head,
                    window(scene.result, length),
                )
            ),
            "heads_table": opening(self.lab, _table(labels), of),
        }

    def _probed(self, scene: TraceScene) -> ProbeResult | None:
        """Return what the probe found, if it was of this model."""
        run_id = scene.settings.get("heads_probe")
        if not isinstance(run_id, str):
            return None
        try:
            run = self.lab.open(run_id, visitor=scene.visitor)
        except UserError:
            return None  # deleted since: the probe can be run again
        same = isinstance(run.request, ProbeRequest) and run.request.model == scene.request.model
        return run.result if same and isinstance(run.result, ProbeResult) else None


def _titled(name: str) -> str:
    need = NEEDS.get(name)
    return MEASURES[name].title + (f" (needs {need})" if need else "")


def _said(found: Mapping[str, NDArray[np.floating]], other: Other) -> str:
    missing = sorted({need for name, need in NEEDS.items() if name not in found})
    told = f" Not measured yet: needs {' and '.join(missing)}." if missing else ""
    which = f", the {NEWEST}" if other.newest else ""
    text = f" The other text is {other.name}{which}; another is chosen in Compare."
    beside = text if other.name else ""
    return (
        '<p class="tk-sub">One text shows what heads do here, not what they do in general.'
        f"{escape(beside)}{escape(told)} Threshold and queries are those of the Sinks view.</p>"
    )


def _table(labels: NDArray[np.str_]) -> str:
    rows: list[list[Cell]] = []
    for place, rule in enumerate(LABEL_RULES):
        here = np.argwhere(labels == rule.label)
        if not len(here):
            continue
        layer, head = map(int, here[0])
        link = Link(f"layer {layer}, head {head}", {"layer": layer, "head": head})
        count = Number(str(len(here)), source("of_kind", place))
        rows.append([rule.label, count, rule.definition, link])
    return table_html(COLUMNS, rows, "Kinds of heads, by stated rules", "Nothing measured yet.")
