"""In which way the model was unsure: entropy against varentropy, every step a dot."""

from tokenarium.ui.figures.decoding import scatter
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.shell.panel import Panel, Values


class Doubt(Panel):
    """One dot a step; a click chooses it."""

    slug = "doubt"

    def build(self) -> None:
        """Make the figure."""
        self.figure(
            "doubt",
            "How unsure, and in which way",
            "Right: many tokens could follow. High: a few likely ones against many unlikely ones. "
            "A click chooses the step.",
        )

    def draw(self, scene: DecodeScene) -> Values:
        """Return the figure, once the run is done."""
        return {"doubt": scene.drawn(scatter(scene.result)) if scene.runs else None}
