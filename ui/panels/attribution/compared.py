"""Attribution methods of one text: maps, agreement, curves, and who beats chance."""

from tokenarium.ui.components.methods import compared_of, ids_of, methods_table
from tokenarium.ui.components.table import table
from tokenarium.ui.figures.methods import agreement, drop_curves, maps_beside
from tokenarium.ui.panels.attribution.scene import AttributionScene
from tokenarium.ui.shell.panel import Panel, Values

FIGURES = {
    "methods_maps": (
        "The same units by each method",
        "Amber made the token likelier, blue less likely; every row is in shares of its largest "
        "score.",
    ),
    "methods_curves": (
        "What each map's highest units are worth",
        "The target's log probability falls by this much as the units that a map names are "
        "deleted; a curve that runs no higher than chance names nothing.",
    ),
    "methods_agreement": (
        "Do they agree?",
        "Spearman's rank correlation of the units' scores: 1 is the same order, 0 none.",
    ),
}


class MethodsBeside(Panel):
    """One row of each map, one curve and one line of the table for every run that is done."""

    slug = "methods"

    def build(self) -> None:
        """Make the table and the figures."""
        self.parts["methods_table"] = table(None, "methods")
        self.figures(FIGURES)

    def draw(self, scene: AttributionScene) -> Values:
        """Return all of them."""
        compared = compared_of(scene.runs)
        if not compared:
            return self.empty()
        return {
            "methods_table": methods_table(compared, ids_of(scene.runs)),
            "methods_maps": scene.drawn(maps_beside(compared)),
            "methods_curves": scene.drawn(drop_curves(compared)),
            "methods_agreement": scene.drawn(agreement(compared)),
        }
