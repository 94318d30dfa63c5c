"""Cut: the Why page's text, read with each part of the model cut out."""

from typing import Any

import gradio as gr

from tokenarium.backend import AblateRequest, AblateResult, ModelRequest
from tokenarium.ui.components.ablation import ablation_card, ablation_sentence
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.panels.attribution.ablated import Ablated
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Scene, Values
from tokenarium.ui.shell.section import Section

WAYS = [
    ("its mean over the text", "mean"),
    ("nothing", "zero"),
    ("what it writes on texts drawn anew", "resample"),
]


class Ablate(Section):
    """Finds the heads, MLPs and layers that the page's target needs."""

    slug, title, go = "ablate", "Cut parts out", "Cut"
    intro = (
        "Each head, attention, MLP and layer is cut out in turn, and the target's log probability "
        "read again; the highest heads are then cut out together, beside as many at random."
    )
    kinds = (AblateRequest,)
    panels = (Ablated,)

    def build(self, controls: Controls) -> None:
        """Make the choice of what a part writes instead."""
        controls.add(
            "ablation",
            gr.Dropdown(WAYS, value="mean", label="A part writes instead", elem_id="ablation"),
        )

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one ablation on the page's text and target."""
        wanted = self.lab.request(
            AblateRequest,
            model=asked["model"],
            **given(asked["text"], asked["turns"]),
            target=asked["target"],
            against=asked["against"] or None,
            ablation=asked["ablation"],
        )
        return [wanted]

    def filled(self, request: AblateRequest) -> Values:
        """Return the control of a stored run."""
        return {
            "model": request.model,
            **shown_again(request),
            "target": request.target,
            "against": request.against or "",
            "ablation": request.ablation,
        }

    def said(self, scene: Scene[AblateResult, AblateRequest]) -> str:
        """Return the parts that matter most, and the verdict of the check."""
        return ablation_sentence(scene.result)

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return readings and time."""
        return ablation_card(cost)
