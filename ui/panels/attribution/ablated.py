"""What a token loses without each part of the model, and the check of the heads."""

from tokenarium.backend import AblateRequest, AblateResult
from tokenarium.ui.figures.ablation import head_check, head_falls, part_falls
from tokenarium.ui.shell.panel import Panel, Scene, Values

FIGURES = {
    "ablation_heads": (
        "Without a head",
        "How far the target's log probability falls when one head is cut out, at every position: "
        "amber made the target likelier, blue less likely.",
    ),
    "ablation_parts": (
        "Without an attention, an MLP, a layer",
        "The same by layer; bars span the texts that were drawn anew.",
    ),
    "ablation_check": (
        "Does cutting them matter more than chance?",
        "The fall when the highest heads are cut out together, and when as many others are.",
    ),
}


class Ablated(Panel):
    """Heads, parts by layer, and the check."""

    slug = "ablated"

    def build(self) -> None:
        """Make the figures."""
        self.figures(FIGURES)

    def draw(self, scene: Scene[AblateResult, AblateRequest]) -> Values:
        """Return all of them; nothing that is chosen changes them."""
        return {
            "ablation_heads": scene.drawn(head_falls(scene.result)),
            "ablation_parts": scene.drawn(part_falls(scene.result)),
            "ablation_check": scene.drawn(head_check(scene.result)),
        }
