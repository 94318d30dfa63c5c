"""A map of the ways to get more than one token out of a pass: which of them run here."""

import gradio as gr

from tokenarium.backend import FAMILIES, Drafter
from tokenarium.ui.components.table import Cell, Column, table_html
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.panel import AnyScene, Panel, Values


class Families(Panel):
    """A table that is made when it is opened; no run changes it."""

    slug = "families"

    def build(self) -> None:
        """Make the place that is folded away."""
        with gr.Accordion("Families of parallel generation", open=False) as show:
            shown = gr.HTML("", elem_id="families")
        show.expand(self.families, None, shown, **EAGER)

    def draw(self, scene: AnyScene) -> Values:  # noqa: ARG002
        """Return nothing: it is about no run."""
        return {}

    def families(self) -> str:
        """Return every family with the drafters that can be chosen on this page."""
        titles = {drafter.slug: drafter.title for drafter in self.lab.methods(Drafter)}
        rows: list[list[Cell]] = [
            [
                family.title,
                family.explanation,
                ", ".join(titles[slug] for slug in family.drafters) or "none",
                family.elsewhere,
            ]
            for family in FAMILIES
        ]
        columns = [Column(name) for name in ("family", "how", "drafters here", "not here")]
        return table_html(columns, rows, "Families of parallel generation", "")
