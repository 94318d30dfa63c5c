"""Compare: two to six stored runs of one kind, aligned, with one selection for all."""

from typing import Any

import gradio as gr

from tokenarium.backend import UserError
from tokenarium.ui.compare.answer import answer, offers
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.visitor import visitor_of

TEMPLATE = """<div class="tk-compare"><div class="tk-compare-said" aria-live="polite"></div>
<div class="tk-compare-runs"></div><div class="tk-compare-body"></div></div>"""
JS = """window.tokenarium.compare(element, props, watch, event => trigger(event));
// 'ask'
"""


class Compare(Page):
    """The runs that the address names, beside each other."""

    path, title, order = "compare", "Compare", 30
    intro = "Two to six stored runs of one kind beside each other: what differs, and where."

    def build(self, blocks: gr.Blocks) -> None:  # noqa: ARG002 - the browser asks by itself
        """Make the one component, which asks for what its address names."""
        shown = gr.HTML(
            None,
            html_template=TEMPLATE,
            js_on_load=JS,
            elem_id="compare",
            elem_classes="tk-block",
        )
        shown.ask(self._answer, shown, shown, **EAGER)

    def _answer(self, asked: object, request: gr.Request) -> dict[str, Any]:
        """Return what is shown, or in ``refused`` why it cannot be, with the runs there are."""
        told = asked if isinstance(asked, dict) else {}
        visitor = visitor_of(self.lab, request, told)
        names = told.get("ids")
        ids = [each for each in names if isinstance(each, str)] if isinstance(names, list) else []
        reply = {"answer": True, "number": told.get("number")}
        try:
            if len(ids) > 1:
                found = answer(self.lab, ids, visitor, told.get("metric"), told.get("measure"))
                return {**found, **reply}
            kinds = [kind for kind in self.lab.kinds() if kind.compare]
            if ids:
                of = self.lab.open(ids[0], visitor=visitor).request.kind
                kinds = [kind for kind in kinds if kind.slug == of] or kinds
            refused = ""
        except UserError as error:
            refused, kinds = str(error), [kind for kind in self.lab.kinds() if kind.compare]
        choices = [[kind.title, offers(self.lab, kind.slug, visitor, ids)] for kind in kinds]
        return {**reply, "ids": ids, "refused": refused, "choices": choices}
