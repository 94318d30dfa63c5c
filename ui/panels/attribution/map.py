"""The text, every unit coloured by its score; a click explains another token."""

from tokenarium.ui.components.attribution import attribution_map
from tokenarium.ui.panels.attribution.scene import AttributionScene
from tokenarium.ui.shell.panel import Panel, Values


class Map(Panel):
    """Units that made the token likelier, and less likely."""

    slug = "map"

    def build(self) -> None:
        """Make its place."""
        self.html("attribution")

    def draw(self, scene: AttributionScene) -> Values:
        """Return the text."""
        return {"attribution": attribution_map(scene.result, clicks=bool(scene.runs))}
