"""Scores by unit, and what deleting the highest does beside chance."""

from tokenarium.ui.figures.attribution import check_strip, score_bars
from tokenarium.ui.figures.logit_parts import logit_parts
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
    "logit_parts": (
        "Heads and MLPs",
        "What each head, and last the MLP, of each layer wrote at the last position towards the "
        "target's logit: amber raised it, blue lowered it.",
    ),
}


class Bars(Panel):
    """Bars with intervals, the check beside every map, and parts of a logit where it is split."""

    slug = "bars"

    def build(self) -> None:
        """Make the figures."""
        self.figures(FIGURES)

    def draw(self, scene: AttributionScene) -> Values:
        """Return them; the parts of methods that split no logit stay away."""
        return {
            "attribution_bars": scene.drawn(score_bars(scene.result)),
            "attribution_check": scene.drawn(check_strip(scene.result)),
            "logit_parts": scene.drawn(logit_parts(scene.result)),
        }
