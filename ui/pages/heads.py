"""The Heads page: what every head of a model usually does, over many texts."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import Visitor, table_file
from tokenarium.ui.heads.answer import answer, measured
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import sent
from tokenarium.ui.shell.visitor import visitor_of

TEMPLATE = """<div class="tk-usual"><div class="tk-usual-said tk-part" id="usual-said"
aria-live="polite"></div><form class="tk-usual-bar tk-part" role="search"></form>
<div class="tk-usual-head tk-part" id="usual-head"></div>
<div class="tk-usual-list tk-part" id="usual-list"></div></div>"""
JS = """window.tokenarium.usualHeads(element, props, watch, event => trigger(event));
// 'ask'
"""


class Heads(Page):
    """Every head of a measured model, sorted and searched, and the one that the address names."""

    path, title, order = "heads", "Heads", 40
    numbers = True
    files: ClassVar[Mapping[str, str]] = {
        "heads.csv": "Every head and measure (CSV)",
        "heads.parquet": "Every head and measure (Parquet)",
    }
    parts: ClassVar[Mapping[str, Framed]] = {
        "sentence": Framed("What was measured", ("usual-said",)),
        "head": Framed("The head that is open", ("usual-head",)),
        "table": Framed("Heads that the search finds", ("usual-list",)),
    }
    intro = (
        "Every head of a model over a few hundred texts: what it usually does, how far it varies."
    )

    def build(self, blocks: gr.Blocks) -> None:  # noqa: ARG002 - the browser asks by itself
        """Make the one component, which asks for what its address names."""
        shown = gr.HTML(
            None,
            html_template=TEMPLATE,
            js_on_load=JS,
            elem_id="usual-heads",
            elem_classes="tk-block",
        )
        shown.ask(self._answer, shown, shown, queue=False, **EAGER)

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:  # noqa: ARG002
        """Return the measurement of the model that the address names as a table."""
        corpus = measured(self.lab, asked.get("model"))
        stem = "tokenarium-heads-" + re.sub(r"[^\w.-]+", "-", corpus.about.model)
        if name == "heads.csv":
            return sent(f"{stem}.csv", table_file(corpus.table(), "csv").decode())
        return sent(f"{stem}.parquet", table_file(corpus.table(), "parquet"))

    def _answer(self, asked: object, request: gr.Request) -> dict[str, Any]:
        """Return the table and the chosen head, whatever a browser sent."""
        wanted = asked if isinstance(asked, dict) else {}
        return answer(self.lab, wanted, visitor_of(self.lab, request, wanted))
