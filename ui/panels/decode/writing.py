"""The texts as they were written, step by step."""

from typing import Any

from tokenarium.backend import DecodeResult, UserError
from tokenarium.ui.components.decoding import decoding, decoding_value
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.shell.panel import Panel, Values, number


class Writing(Panel):
    """Lanes of tokens; which lane and step is the browser's own matter."""

    slug = "writing"

    def build(self) -> None:
        """Make the component, which asks for other steps by itself."""
        self.parts["decoding"] = decoding(None, self.step)

    def draw(self, scene: DecodeScene) -> Values:
        """Return the lanes."""
        return {"decoding": decoding_value(scene.result, scene.chosen.run)}

    def step(self, place: object) -> dict[str, Any]:
        """Return one step of a stored run, or in words why not."""
        told = place if isinstance(place, dict) else {}
        try:
            result = self.lab.open(str(told.get("run"))).result
        except UserError as error:
            return {"refused": str(error)}
        if not isinstance(result, DecodeResult):
            return {"refused": "This run has no steps."}
        lane = int(number(told.get("lane"), 0, len(result.lanes) - 1, 0))
        last = len(result.lanes[lane].token_ids) - 1
        if last < 0:
            return {"refused": "This lane wrote nothing."}
        return step_value(result, lane, int(number(told.get("step"), 0, last, 0)))
