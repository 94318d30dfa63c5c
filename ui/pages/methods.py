"""Method against method: several attributors on the Why page's text and target."""

from typing import Any, ClassVar

from tokenarium.backend import AttributeRequest, Attributor, Lab, ModelRequest, UserError
from tokenarium.ui.components.attribution_form import attribution_request
from tokenarium.ui.components.methods import compared_of, ids_of, methods_sentence
from tokenarium.ui.panels.attribution.compared import MethodsBeside
from tokenarium.ui.panels.attribution.scene import AttributionScene
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.drawing import BETWEEN
from tokenarium.ui.shell.methods import choice_of
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.section import Section
from tokenarium.ui.why.answer import opening
from tokenarium.ui.why.views import of_methods

MOST = 6
USUAL = ["occlusion", "logit_attribution", "gradient_input"]
SHIPPED = ("why-warsaw", "warsaw-by-heads")
"""Examples that explain the same token."""


class Methods(Section):
    """Asks the page's question of each method; what is stored is not computed again."""

    slug, title, go = "methods", "Method against method", "Compare"
    intro = (
        "The same token, text and units by several methods: their maps beneath each other, how far "
        "they agree, and which of them name words that matter more than chance."
    )
    kinds = (AttributeRequest,)
    panels = (MethodsBeside,)
    partial_every_s: ClassVar[float] = float("inf")

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.titles = {method.slug: method.title for method in lab.methods(Attributor)}

    def build(self, controls: Controls) -> None:
        """Make the choice of methods."""
        methods = self.lab.methods(Attributor)
        label = f"Methods (2 to {MOST})"
        controls.add(
            "compared",
            choice_of(
                methods, USUAL, label, multiselect=True, max_choices=MOST, elem_id="compared"
            ),
        )

    def offered_runs(self) -> list[tuple[str, str]]:
        """Return the one comparison that is shipped, where its runs are stored."""
        stored = {each.slug: each.run_id for each in self.lab.examples(AttributeRequest.kind)}
        if not all(slug in stored for slug in SHIPPED):
            return []
        ids = BETWEEN.join(stored[slug] for slug in SHIPPED)
        return [("deleting words against what heads write", ids)]

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return the page's own question of each method."""
        slugs = asked["compared"] if isinstance(asked["compared"], list) else []
        if not 2 <= len(slugs) <= MOST:
            raise UserError(f"methods={len(slugs)} chosen: choose 2 to {MOST} to compare")
        return [attribution_request(self.lab, {**asked, "attributor": slug}) for slug in slugs]

    def said(self, scene: AttributionScene) -> str:
        """Return which maps beat chance, and which agree least."""
        if not scene.runs:
            return ""
        compared, ids = compared_of(scene.runs), ids_of(scene.runs)
        found = of_methods(self.lab, [ids[title] for title in compared])
        return opening(self.lab, methods_sentence(compared), found)

    def doing(self, request: Any) -> str:
        """Return which method it is about."""
        return str(self.titles[request.method])
