"""The text as tokens, coloured by a number, and the card of the chosen one."""

from typing import ClassVar

import gradio as gr

from tokenarium.backend import usual_heads
from tokenarium.ui.components.strip import strip, strip_patch, strip_value
from tokenarium.ui.components.token_card import token_card
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values


class TokenStrip(Panel):
    """Every token of the text, word by word or as a grid of pixels."""

    slug = "strip"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head", "metric"})

    def build(self) -> None:
        """Make the strip."""
        self.parts["strip"] = strip(None)

    def draw(self, scene: TraceScene) -> Values:
        """Return the strip, or of another head or colouring only its numbers."""
        make = strip_value if scene.before is None else strip_patch
        return {"strip": make(scene.result, scene.chosen)}


class TokenCard(Panel):
    """Every number of the chosen token."""

    slug = "card"
    uses: ClassVar[frozenset[str]] = frozenset({"token", "query", "layer", "head"})

    def build(self) -> None:
        """Make its place."""
        self.parts["card"] = gr.HTML("", elem_id="card")

    def draw(self, scene: TraceScene) -> Values:
        """Return the card, once a run is stored with what its head usually does."""
        usual = None
        if scene.runs:
            fingerprint = str(scene.runs[0].environment.get("fingerprint", ""))
            usual = usual_heads(self.lab.settings, fingerprint)
        return {"card": token_card(scene.result, scene.chosen, usual)}
