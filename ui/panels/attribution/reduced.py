"""What a model that computes less loses, and where it was cut."""

from tokenarium.backend import ReduceRequest, ReduceResult
from tokenarium.ui.figures.reduction import cut_where, loss_by_cost
from tokenarium.ui.shell.panel import Panel, Scene, Values

FIGURES = {
    "reduction_loss": (
        "Loss by cost",
        "How well reduced models read a text that nothing was calibrated on; the large mark is the "
        "one that the sentence is about. Lower and further left is better.",
    ),
    "reduction_where": (
        "What is left of every layer",
        "The share of attention and MLP that the judged model and those beside it compute.",
    ),
}


class ReducedPanel(Panel):
    """Loss against cost, and the layers."""

    slug = "reduced"

    def build(self) -> None:
        """Make the figures."""
        self.figures(FIGURES)

    def draw(self, scene: Scene[ReduceResult, ReduceRequest]) -> Values:
        """Return both; nothing that is chosen changes them."""
        return {
            "reduction_loss": scene.drawn(loss_by_cost(scene.result)),
            "reduction_where": scene.drawn(cut_where(scene.result)),
        }
