"""Compare: two to six stored runs of one kind, aligned, with one selection for all."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import UserError, Visitor
from tokenarium.ui.compare.answer import TEMPLATE, address_of, answer, named, offers
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import COMPARED, compared
from tokenarium.ui.shell.visitor import visitor_of

JS = """window.tokenarium.compare(element, props, watch, event => trigger(event));
// 'ask'
"""


class Compare(Page):
    """The runs that the address names, beside each other."""

    path, title, order = "compare", "Compare", 30
    intro = "Two to six stored runs of one kind beside each other: what differs, and where."
    figures = numbers = True
    files = COMPARED
    parts: ClassVar[Mapping[str, Framed]] = {
        "sentence": Framed("What differs", ("compare-said",)),
        "text": Framed("Texts, place by place", ("compare-bar", "compare-text", "compare-readout")),
        "places": Framed("All runs", ("compare-places",)),
        "differences": Framed("Difference", ("compare-differences",)),
        "head_differences": Framed("Heads: difference", ("compare-head_differences",)),
        "head_values": Framed("Heads: every run", ("compare-head_values",)),
        "table": Framed("Where they differ most", ("compare-table",)),
    }

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

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:  # noqa: ARG002
        """Return a file of the runs that the address names."""
        ids = [each.strip() for each in asked.get("runs", "").split(",") if each.strip()]
        return compared(self.lab, ids, name)

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
            refused = ""
        except UserError as error:
            refused = str(error)
        return {**reply, "refused": refused, **self._begun(ids, visitor, refused)}

    def _begun(self, ids: list[str], visitor: str, refused: str) -> dict[str, Any]:
        """Return the first run that opens, to go on from, and what it can be compared with."""
        kinds = {kind.slug: kind for kind in self.lab.kinds() if kind.compare}
        for run_id in ids:
            try:
                kind = self.lab.open(run_id, visitor=visitor).request.kind
            except UserError as error:
                refused = refused or str(error)
                continue
            if kind in kinds:
                one = {"name": named(self.lab, kind, visitor, run_id)}
                others = [["", offers(self.lab, kind, visitor, [run_id])]]
                one["address"] = address_of(kind, run_id)
                return {"ids": [run_id], "one": one, "choices": others, "refused": refused}
        choices = [
            [kind.title, offers(self.lab, slug, visitor, [])] for slug, kind in kinds.items()
        ]
        return {"ids": [], "choices": choices, "refused": refused}
