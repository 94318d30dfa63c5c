"""One small picture: where all the attention goes."""

from tokenarium.ui.components.colouring import attention_share
from tokenarium.ui.figures.share import attention_bars
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Panel, Values


class Share(Panel):
    """A bar for each token that gets much, and one for all others."""

    slug = "share"

    def build(self) -> None:
        """Make its place."""
        self.figure(
            "share",
            "Where all attention goes",
            "The tokens that get most of it, with their places.",
        )

    def draw(self, scene: TraceScene) -> Values:
        """Return the picture, which no choice of a token or head changes."""
        result = scene.result
        return {"share": scene.drawn(attention_bars(attention_share(result), result.token_text))}
