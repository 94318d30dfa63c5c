"""Edit a token: the Cache page's prompt is edited, and its cache is used again."""

from typing import Any

import gradio as gr

from tokenarium.backend import EditRequest, EditResult, ModelRequest
from tokenarium.ui.components.edited import edit_card, edited_sentence
from tokenarium.ui.components.turns import given
from tokenarium.ui.panels.cache.edited import Edited
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Scene, Values, number
from tokenarium.ui.shell.section import Section

MOST = 10_000_000


class Edit(Section):
    """Replaces tokens of the prompt, and compares its spliced cache with reading anew."""

    slug, title, go = "edit", "Edit a token", "Edit"
    intro = (
        "Tokens of the prompt are replaced, and its cache is used again: only the new tokens are "
        "read, and the keys after them are turned to their new places."
    )
    kinds = (EditRequest,)
    panels = (Edited,)

    def build(self, controls: Controls) -> None:
        """Make the choice of tokens and of what replaces them."""
        with gr.Row():
            start = gr.Number(
                3,
                label="First token",
                info="Counted from 0.",
                precision=0,
                minimum=0,
                elem_id="edit-start",
            )
            controls.add("edit_start", start)
            count = gr.Number(
                1,
                label="Tokens replaced",
                info="0 inserts before it.",
                precision=0,
                minimum=0,
                elem_id="edit-count",
            )
            controls.add("edit_count", count)
            text = gr.Textbox(
                " another", label="By", info="Empty deletes.", elem_id="edit-replacement"
            )
            controls.add("edit_replacement", text)

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one edit of the page's prompt."""
        start = int(number(asked["edit_start"], 0, MOST, 3))
        end = start + int(number(asked["edit_count"], 0, MOST, 1))
        wanted = self.lab.request(
            EditRequest,
            model=asked["model"],
            **given(asked["text"], asked["turns"]),
            edits=[{"start": start, "end": end, "replacement": str(asked["edit_replacement"])}],
            max_new_tokens=int(number(asked["max_new_tokens"], 1, 1024, 16)),
        )
        return [wanted]

    def filled(self, request: EditRequest) -> Values:
        """Return the first edit of a stored run."""
        edit = request.edits[0]
        return {
            "edit_start": edit.start,
            "edit_count": edit.end - edit.start,
            "edit_replacement": edit.replacement,
        }

    def said(self, scene: Scene[EditResult, EditRequest]) -> str:
        """Return what turning the keys was worth."""
        return edited_sentence(scene.result, scene.runs[0].id if scene.runs else "")

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return tokens read, bytes and time."""
        return edit_card(cost)
