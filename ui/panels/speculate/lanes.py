"""Drafters beside autoregressive decoding, each as fast as it was."""

from tokenarium.ui.components.race import race, race_value
from tokenarium.ui.panels.speculate.scene import SpeculateScene
from tokenarium.ui.shell.panel import Panel, Values


class Racers(Panel):
    """One lane for every run of the race that is done."""

    slug = "racers"

    def build(self) -> None:
        """Make the track."""
        self.parts["race_track"] = race(None)

    def draw(self, scene: SpeculateScene) -> Values:
        """Return the lanes."""
        return {"race_track": race_value(scene.runs)}
