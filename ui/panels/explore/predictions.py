"""Predictions: how sure the model was of every token, and when it made up its mind."""

from tokenarium.ui.figures.lens import lens_window, logit_lens
from tokenarium.ui.figures.lines import predictability
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values


class Predictions(Panel):
    """Surprisal and entropy along the text, and the logit lens around the chosen token."""

    slug, title = "predictions", "Predictions"
    uses = frozenset({"token"})

    def build(self) -> None:
        """Make the line and the lens."""
        self.figure(
            "predictability",
            "How predictable each token was",
            "Surprisal of each token, and the model's entropy just before it.",
        )
        self.figure(
            "lens",
            "Logit lens: what each layer would say next",
            "The residual stream of every layer, decoded as if it were the last.",
        )

    def draw(self, scene: TraceScene) -> Values:
        """Return line and lens; another token moves the lens where it leaves what is shown."""
        result, token, before = scene.result, scene.chosen.token, scene.before
        if before and lens_window(result, before.token) == lens_window(result, token):
            return {}
        lens = scene.drawn(logit_lens(result, token))
        line = {} if before else {"predictability": scene.drawn(predictability(result))}
        return {**line, "lens": lens}
