"""Scores by unit, and what deleting the highest does beside chance."""

from tokenarium.ui.figures.attribution import check_strip, score_bars
from tokenarium.ui.panels.attribution.scene import AttributionScene
from tokenarium.ui.shell.panel import Panel, Values

FIGURES = {
    "attribution_bars": (
        "Score of each unit",
        "The units with the largest scores, in the order of their size; where two are written "
        "alike, with the position of their first token.",
    ),
    "attribution_check": (
        "Does deleting them matter more than chance?",
        "The target's log probability falls by this much when the highest units are deleted, and "
        "when as many others are.",
    ),
}


class Bars(Panel):
    """Two figures: bars with intervals, and the check that stands beside every map."""

    slug = "bars"

    def build(self) -> None:
        """Make both figures."""
        self.figures(FIGURES)

    def draw(self, scene: AttributionScene) -> Values:
        """Return both."""
        return {
            "attribution_bars": scene.drawn(score_bars(scene.result)),
            "attribution_check": scene.drawn(check_strip(scene.result)),
        }
