"""In which way the model was unsure: entropy against varentropy, every step a dot."""

from tokenarium.ui.figures.decoding import scatter
from tokenarium.ui.figures.drawings import drawings
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
            "A click chooses the step. Beneath, where the prompt has an answer and 16 trials or "
            "more: how often texts of about the same confidence are right.",
        )
        self.figure(
            "search_figure",
            "What a strategy tried",
            "How far a search came, by what it had tried until then.",
        )

    def draw(self, scene: DecodeScene) -> Values:
        """Return the figures, once the run is done."""
        if not scene.runs:
            return {"doubt": None, "search_figure": None}
        found = [(lane.title, one) for lane in scene.result.lanes for one in lane.drawings]
        return {
            "doubt": scene.drawn(scatter(scene.result)),
            "search_figure": scene.drawn(drawings(found, "searches", "Curves of searches")),
        }
