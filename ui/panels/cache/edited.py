"""An edited prompt whose cache is used again, beside reading it anew."""

from tokenarium.backend import EditRequest, EditResult
from tokenarium.ui.components.edited import edited_table
from tokenarium.ui.components.table import table
from tokenarium.ui.figures.editing import cost_of_edit, errors_of_edit
from tokenarium.ui.shell.panel import Panel, Scene, Values

FIGURES = {
    "edit_kl": ("Cost of the edit", "How far each cache is from reading the edited prompt anew."),
    "edit_errors": (
        "What was kept is not what would be read",
        "Turned keys are exact in the first layer; higher ones still know the text before.",
    ),
}


class Edited(Panel):
    """A table of caches and two figures."""

    slug = "edited"

    def build(self) -> None:
        """Make the table and both figures."""
        self.parts["edit_table"] = table(None, "edit")
        self.figures(FIGURES)

    def draw(self, scene: Scene[EditResult, EditRequest]) -> Values:
        """Return all of them; nothing that is chosen changes them."""
        run_id = scene.runs[0].id if scene.runs else ""
        return {
            "edit_table": edited_table(scene.result, run_id),
            "edit_kl": scene.drawn(cost_of_edit(scene.result)),
            "edit_errors": scene.drawn(errors_of_edit(scene.result)),
        }
