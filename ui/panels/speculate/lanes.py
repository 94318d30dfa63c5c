"""Drafters beside autoregressive decoding, each as fast as it was."""

from tokenarium.backend import Drafter, Lab, Rule, SpeculateRequest, SpeculationResult
from tokenarium.ui.components.race import race, race_value
from tokenarium.ui.panels.speculate.scene import SpeculateScene
from tokenarium.ui.shell.panel import Panel, Values


class Racers(Panel):
    """One lane for every run of the race that is done."""

    slug = "racers"

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        both = (*lab.methods(Drafter), *lab.methods(Rule))
        self.titles = {method.slug: method.title for method in both}

    def build(self) -> None:
        """Make the track."""
        self.parts["race_track"] = race(None)

    def draw(self, scene: SpeculateScene) -> Values:
        """Return the lanes."""
        lanes = []
        for run in scene.runs:
            asked, result = run.request, run.result
            assert isinstance(asked, SpeculateRequest)
            assert isinstance(result, SpeculationResult)
            drafter, rule = self.titles[asked.drafter.slug], self.titles[asked.rule.slug]
            lanes.append((drafter, rule, result))
        return {"race_track": race_value(lanes)}
