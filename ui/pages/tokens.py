"""The Tokens page: what a text is cut into by any tokenizer, and what that costs."""

from typing import Any

import gradio as gr

from tokenarium.ui.shell.events import EAGER
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.tokens.answer import answer

TEMPLATE = """<div class="tk-cuts"></div>"""
JS = """window.tokenarium.cuts(element, props, watch, event => trigger(event));
// 'ask'
"""


class Tokens(Page):
    """A text under several tokenizers, languages, segmentations, and next bytes."""

    path, title, order = "tokens", "Tokens", 5
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

    def _answer(self, asked: object, request: gr.Request) -> dict[str, Any]:
        """Return what a part of the page shows, whatever a browser sent."""
        wanted = asked if isinstance(asked, dict) else {}
        return answer(self.lab, wanted, visitor_of(self.lab, request, wanted))
