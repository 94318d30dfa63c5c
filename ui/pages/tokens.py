"""The Tokens page: what a text is cut into by any tokenizer, and what that costs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import NewTokensRequest, UserError, Visitor
from tokenarium.ui.shell.embedding import ONLY_SHOWN, embedded
from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Framed, Page
from tokenarium.ui.shell.saving import WHOLE, saved_run
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.tokens.answer import SHOWN, answer, text_of, tokenizers_of
from tokenarium.ui.why.cut import OF, cut_run, explained_cut
from tokenarium.ui.why.tokenizers import OURS

TEMPLATE = """<div class="tk-cuts"></div>"""
JS = """window.tokenarium.cuts(element, props, watch, event => trigger(event));
// 'ask'
"""


class Tokens(Page):
    """A text under several tokenizers, languages, segmentations, and next bytes."""

    path, title, order = "tokens", "Tokens", 5
    kinds = (NewTokensRequest,)
    figures = numbers = True
    files: ClassVar[Mapping[str, str]] = {
        name: title for name, title in WHOLE.items() if name != "everything.json"
    }
    parts: ClassVar[Mapping[str, Framed]] = {
        "sentence": Framed("What it takes", ("cuts-said",)),
        "strip": Framed("The text under each tokenizer", ("cuts-strip",)),
        "counts": Framed("Counts", ("cuts-counts",)),
        "view": Framed("The view that is open", ("cuts-panel",)),
    }
    intro = "What a text is cut into by any tokenizer, in any language, and what that costs."

    def build(self, blocks: gr.Blocks) -> None:  # noqa: ARG002 - the browser asks by itself
        """Make the one component, which asks for what its address names."""
        shown = gr.HTML(
            None,
            html_template=TEMPLATE,
            js_on_load=JS,
            elem_id="cuts",
            elem_classes="tk-block",
        )
        shown.ask(self._answer, shown, shown, queue=False, **EAGER)

    def saved(self, asked: Mapping[str, str], name: str, visitor: Visitor) -> dict[str, str]:  # noqa: ARG002
        """Return a file of the text under its tokenizers."""
        names = [each for each in asked.get("with", "").split(",") if each]
        if name == "run.ipynb" and any(each.startswith(OURS) for each in names):
            raise UserError("a tokenizer of yours is kept here only: leave it out, or save tables")
        wanted = {"text": asked.get("text"), "with": names}
        found = tuple(each.name for each in tokenizers_of(self.lab, wanted))
        return saved_run(cut_run(self.lab, text_of(wanted), found), name)

    def explained(self, run: object, written: object) -> Mapping[str, str]:
        """Return what opens at a number: of a stored run, or of the text under its tokenizers."""
        if not isinstance(run, str) or not run.startswith(OF):
            return super().explained(run, written)
        try:
            return explained_cut(self.lab, run.removeprefix(OF), str(written))
        except UserError as error:
            return {"error": str(error)}

    def _answer(self, asked: object, request: gr.Request) -> dict[str, Any]:
        """Return what a part of the page shows, whatever a browser sent."""
        wanted = asked if isinstance(asked, dict) else {}
        if embedded(request) and (wanted.get("do") not in SHOWN or wanted.get("run")):
            return {"answer": True, **{n: wanted.get(n) for n in ("do", "number")},
                    "error": ONLY_SHOWN}  # fmt: skip
        return answer(self.lab, wanted, visitor_of(self.lab, request, wanted))
