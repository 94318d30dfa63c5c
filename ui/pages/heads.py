"""The Heads page: what every head of a model usually does, over many texts."""

from typing import Any

import gradio as gr

from tokenarium.ui.heads.answer import answer
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.visitor import visitor_of

TEMPLATE = """<div class="tk-usual"><div class="tk-usual-said" aria-live="polite"></div>
<form class="tk-usual-bar" role="search"></form>
<div class="tk-usual-head"></div><div class="tk-usual-list"></div></div>"""
JS = """window.tokenarium.usualHeads(element, props, watch, event => trigger(event));
// 'ask'
"""


class Heads(Page):
    """Every head of a measured model, sorted and searched, and the one that the address names."""

    path, title, order = "heads", "Heads", 40
    numbers = True
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

    def _answer(self, asked: object, request: gr.Request) -> dict[str, Any]:
        """Return the table and the chosen head, whatever a browser sent."""
        wanted = asked if isinstance(asked, dict) else {}
        return answer(self.lab, wanted, visitor_of(self.lab, request, wanted))
