"""Layers by words of two prompts: what each cell, patched alone, recovers."""

from tokenarium.backend import PatchRequest, PatchResult
from tokenarium.ui.figures.patching import TITLES, patched_cells
from tokenarium.ui.shell.panel import Panel, Scene, Values

WHAT = {
    "residual": "The residual stream entering a layer at a word, taken from the other reading: 1 "
    "turns the prediction into that reading's, 0 leaves it.",
    "attention": "The same of what the layer's attention adds: what moves from word to word.",
    "mlp": "The same of what the layer's MLP adds: where it is looked up.",
}


class Patched(Panel):
    """One heat map for the residual stream, the attention and the MLP."""

    slug = "patched"

    def build(self) -> None:
        """Make the figures."""
        self.figures({f"patch_{site}": (TITLES[site], WHAT[site]) for site in TITLES})

    def draw(self, scene: Scene[PatchResult, PatchRequest]) -> Values:
        """Return all of them; nothing that is chosen changes them."""
        return {f"patch_{site}": scene.drawn(patched_cells(scene.result, site)) for site in TITLES}
