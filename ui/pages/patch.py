"""Patch: the Why page's text and another one, what one did put into the reading of the other."""

from typing import Any

import gradio as gr

from tokenarium.backend import ModelRequest, PatchRequest, PatchResult, UserError
from tokenarium.ui.components.patching import patch_card, patch_sentence
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.panels.attribution.patched import Patched
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Scene, Values
from tokenarium.ui.shell.section import Section

INTO = [("the other text: what is enough", "other"), ("the text: what is needed", "text")]


class Patch(Section):
    """Compares the page's text with one in which a few words are others."""

    slug, title, go = "patch", "Patch between two prompts", "Patch"
    intro = (
        "A second text with a few words changed, so that the model expects another token. Cell by "
        "cell, what the model did on one is put into its reading of the other."
    )
    kinds = (PatchRequest,)
    panels = (Patched,)

    def build(self, controls: Controls) -> None:
        """Make the other text, and which of both is read again."""
        other = gr.Textbox(
            "",
            label="Other text",
            info="As long as the text above, best in tokens too; it is read up to the same target.",
            elem_id="patch-other",
            lines=2,
        )
        controls.add("patch_other", other)
        with gr.Row():
            controls.add(
                "patch_into",
                gr.Dropdown(INTO, value="other", label="Patched into", elem_id="patch-into"),
            )
            units = [("word", "word"), ("token", "token")]
            controls.add(
                "patch_unit",
                gr.Dropdown(units, value="word", label="Patched together", elem_id="patch-unit"),
            )

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one patching of the page's text."""
        other = str(asked["patch_other"] or "")
        if not other:
            raise UserError("Other text is empty: type the text above with a word or two changed")
        wanted = self.lab.request(
            PatchRequest,
            model=asked["model"],
            **given(asked["text"], asked["turns"]),
            other=other,
            target=asked["target"],
            against=None,
            unit=asked["patch_unit"],
            into=asked["patch_into"],
        )
        return [wanted]

    def filled(self, request: PatchRequest) -> Values:
        """Return the controls of a stored run."""
        return {
            "model": request.model,
            **shown_again(request),
            "target": request.target,
            "patch_other": request.other,
            "patch_unit": request.unit,
            "patch_into": request.into,
        }

    def said(self, scene: Scene[PatchResult, PatchRequest]) -> str:
        """Return what both texts expect and which cells recover most."""
        return patch_sentence(scene.result, scene.request.into)

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return tokens, readings and time."""
        return patch_card(cost)
