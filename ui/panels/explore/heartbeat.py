"""Heartbeat: when later tokens come back to each token, through one head."""

from collections.abc import Iterator
from typing import Any, ClassVar

import gradio as gr
import numpy as np

from tokenarium.backend import HeartbeatRequest, HeartbeatResult, Run, UserError
from tokenarium.ui.characters import named
from tokenarium.ui.components.form import Group, read_form
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.table import (
    Cell,
    Column,
    Link,
    Number,
    Numbers,
    table,
    table_html,
)
from tokenarium.ui.figures.heartbeat import heartbeat_gaps, heartbeat_raster
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Action, Panel, Values
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import number, of_run, source

FORM = Group("heartbeat", HeartbeatRequest, ("threshold", "measured_in", "bins"))
ROWS = 12
COLUMNS = (
    Column("token", "Press one to choose it."),
    Column("activations", "How many tokens looked at it."),
    Column("longest gap", "Most tokens between two looks: how long a cache must keep it."),
    Column("expected by", "When the next look is due if it keeps its rhythm."),
)


class Heartbeat(Panel):
    """A raster of activations of the chosen head, and every token's longest pause."""

    slug, title = "heartbeat", "Who comes back"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make the parameters, the button, the raster, the pauses and the table."""
        self.form("heartbeat_form", [FORM])
        self.go = gr.Button(
            "Show who comes back to whom in the chosen head",
            variant="primary",
            size="sm",
            elem_id="beat",
        )
        self.remembered("heartbeat_run")
        self.parts["heartbeat_said"] = gr.HTML(_nothing()["heartbeat_said"], elem_id="beat-said")
        self.figure(
            "heartbeat",
            "When tokens come back",
            "Read a column from top to bottom: each mark is a later token that looks at this one.",
        )
        self.figure(
            "gaps",
            "How long a token may be silent",
            "Longest pause between two looks at the same token (LazyEviction).",
        )
        self.parts["heartbeat_table"] = table(None, "heartbeat")

    def actions(self) -> list[Action]:
        """Return the button that measures."""
        return [Action([self.go.click], self.measure)]

    def measure(self, scene: TraceScene) -> Iterator[Values]:
        """Measure the chosen head."""
        told = read_form([FORM], scene.settings.get("heartbeat_form"))
        request = self.lab.request(
            HeartbeatRequest,
            **scene.text,
            layer=scene.chosen.layer,
            head=scene.chosen.head,
            **told[FORM.slug],
        )
        run = yield from self.asked(scene, request)
        measured = scene.having(heartbeat_run=run.id)
        yield {"status": "", "heartbeat_run": run.id, **_shown(measured, run)}

    def draw(self, scene: TraceScene) -> Values:
        """Return what was measured last, if it is of this text and head."""
        run_id = scene.settings.get("heartbeat_run")
        if not isinstance(run_id, str):
            return _nothing()
        try:
            run = self.lab.open(run_id, visitor=scene.visitor)
        except UserError as error:
            return {**_nothing(), "heartbeat_said": status(str(error), "error")}
        wanted = {**scene.text, "layer": scene.chosen.layer, "head": scene.chosen.head}
        same = isinstance(run.request, HeartbeatRequest) and all(
            getattr(run.request, name) == value for name, value in wanted.items()
        )
        return _shown(scene, run) if same else _nothing()


def _nothing() -> dict[str, Any]:
    said = '<p class="tk-sub">Choose a head anywhere on the page and press the button.</p>'
    return {"heartbeat_said": said, "heartbeat": None, "gaps": None, "heartbeat_table": ""}


def _shown(scene: TraceScene, run: Run) -> Values:
    result, asked = run.result, run.request
    assert isinstance(result, HeartbeatResult)
    assert isinstance(asked, HeartbeatRequest)
    active = (
        f"attention is at least {asked.threshold:g} times an even share"
        if asked.measured_in == "even shares"
        else f"attention is at least {asked.threshold:g}"
    )
    gaps = np.where(result.longest_gap > 0, result.longest_gap, np.nan)
    raster = heartbeat_raster(
        result.raster, result.edges, result.edges, asked.layer, asked.head, active
    )
    return {
        "heartbeat_said": of_run(_said(result, asked, active), run.id),
        "heartbeat": scene.drawn(raster),
        "gaps": scene.drawn(heartbeat_gaps(gaps, named(result.token_text), active)),
        "heartbeat_table": of_run(_table(result), run.id),
    }


def _said(result: HeartbeatResult, asked: HeartbeatRequest, active: str) -> str:
    share = number(f"{result.active_share:.1%}", source("active_share"))
    return (
        f'<p class="tk-sentence">In layer {asked.layer}, head {asked.head}, '
        f"<b>{share}</b> of all pairs are active: their {escape(active)}.</p>"
        f'<p class="tk-sub">From {escape(result.source)}.</p>'
    )


def _table(result: HeartbeatResult) -> str:
    order = (-result.longest_gap).argsort(kind="stable")[:ROWS]
    rows: list[list[Cell]] = [
        [
            Link(f"{t} {one_line(named(result.token_text)[t])}", {"token": t}),
            Number(str(result.activations[t]), source("activations", t)),
            Numbers((Number(str(result.longest_gap[t]), source("longest_gap", t)), " tokens")),
            Numbers(("token ", Number(str(result.next_expected[t]), source("next_expected", t))))
            if result.next_expected[t] >= 0
            else "never",
        ]
        for t in order.tolist()
    ]
    return table_html(COLUMNS, rows, f"The {len(rows)} longest pauses", "Nothing measured yet.")
