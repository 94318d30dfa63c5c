"""What strategies take for granted, measured on this model and drawn before their texts."""

from tokenarium.ui.components.premises import premises
from tokenarium.ui.figures.drawings import drawings
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.shell.panel import Panel, Values


class Premises(Panel):
    """A verdict for each strategy that builds on something, and the numbers it comes from."""

    slug = "premises"

    def build(self) -> None:
        """Make the verdicts and the figure."""
        self.html("premises")
        self.figure(
            "premise_figure",
            "Does it hold for this model?",
            "What each strategy builds on, measured along the text of plain decoding before the "
            "strategy writes.",
        )

    def draw(self, scene: DecodeScene) -> Values:
        """Return verdicts as soon as they are known, and the figure once the run is done."""
        found = [
            (lane.title, lane.premise.drawing)
            for lane in scene.result.lanes
            if lane.premise is not None and lane.premise.drawing is not None
        ]
        label = "Measurements of what the strategies build on"
        figure = drawings(found, "premises", label) if scene.runs else None
        return {"premises": premises(scene.result), "premise_figure": scene.drawn(figure)}
