"""The text as it was guessed and checked: marked tokens, rounds, the tree of one."""

from typing import Any

from tokenarium.backend import Lab, Rule, SpeculationResult, UserError
from tokenarium.ui.components.speculation import speculation, speculation_value
from tokenarium.ui.components.trees import tree_value
from tokenarium.ui.panels.speculate.scene import SpeculateScene
from tokenarium.ui.shell.panel import Panel, Values, number


class Guesses(Panel):
    """Tokens, rounds and trees; which round and node is the browser's own matter."""

    slug = "guesses"

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.titles = {rule.slug: rule.title for rule in lab.methods(Rule)}

    def build(self) -> None:
        """Make the component, which asks for other rounds by itself."""
        self.parts["speculation"] = speculation(None, self.tree)

    def draw(self, scene: SpeculateScene) -> Values:
        """Return text, rounds and the tree of one round."""
        return {"speculation": speculation_value(scene.result, scene.chosen.run, self.titles)}

    def tree(self, run_id: object, place: object) -> dict[str, Any]:
        """Return one round's tree of a stored run, or in words why not."""
        try:
            result = self.lab.open(str(run_id)).result
        except UserError as error:
            return {"refused": str(error)}
        if not isinstance(result, SpeculationResult) or not len(result.rounds):
            return {"refused": "This run has no rounds."}
        return tree_value(result, int(number(place, 0, len(result.rounds) - 1, 0)), self.titles)
