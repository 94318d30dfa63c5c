"""Reduce: a model that computes less in depth or width, and what that costs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import Lab, ModelRequest, ReduceRequest, ReduceResult, Reduction, UserError
from tokenarium.ui.components.reduction import reduction_card, reduction_sentence
from tokenarium.ui.components.run_csv import reduced_csv
from tokenarium.ui.components.turns import given
from tokenarium.ui.panels.attribution.reduced import ReducedPanel
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of, groups_of
from tokenarium.ui.shell.panel import Scene, Values
from tokenarium.ui.shell.section import File, Section

TEXTS = [("the text above", "text"), ("shipped passages", "passages")]


class Reduce(Section):
    """Cuts the page's model in depth or width, and measures the loss on held-out text."""

    slug, title, go = "reduce", "Cut in depth and width", "Reduce"
    intro = (
        "What can a model leave out? Layers, MLP channels or attended keys are left out by a "
        "method that is set on one text, and the loss is measured on another."
    )
    kinds = (ReduceRequest,)
    panels = (ReducedPanel,)
    files: ClassVar[Mapping[str, File]] = {
        "reduced.csv": File("Table of reduced models (CSV)", reduced_csv)
    }

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.reductions = {method.slug: method for method in lab.methods(Reduction)}

    def build(self, controls: Controls) -> None:
        """Make the choice of the way, its parameters, the text and its length."""
        with gr.Row():
            ways = [*self.reductions.values()]
            controls.add("reduction", choice_of(ways, "cats", "Way", elem_id="reduction"))
            label = "Loss measured on"
            chosen = gr.Dropdown(TEXTS, value="text", label=label, elem_id="reduce-text")
            controls.add("reduce_text", chosen)
            controls.add("reduce_tokens", gr.Number(128, label="Tokens", precision=0))
        controls.form(
            "reduction_parameters",
            lambda asked: groups_of(self.reductions, asked["reduction"]),
            ["reduction"],
        )

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one reduction of the page's model."""
        slug = str(asked["reduction"])
        text = _said(asked) if asked["reduce_text"] == "text" else ""
        parameters = asked["reduction_parameters"].get(slug, {})
        wanted = self.lab.request(
            ReduceRequest,
            model=asked["model"],
            reduction={"slug": slug, "parameters": parameters},
            text=text,
            tokens=asked["reduce_tokens"],
        )
        return [wanted]

    def filled(self, request: ReduceRequest) -> Values:
        """Return the controls of a stored run."""
        own = {"text": request.text} if request.text else {}
        return {
            "model": request.model,
            **own,
            "reduction": request.reduction.slug,
            "reduction_parameters": {request.reduction.slug: request.reduction.parameters},
            "reduce_text": "text" if request.text else "passages",
            "reduce_tokens": request.tokens,
        }

    def said(self, scene: Scene[ReduceResult, ReduceRequest]) -> str:
        """Return what is lost, and how that stands beside other ways."""
        return reduction_sentence(scene.result, scene.request.reduction.slug)

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return tokens, readings and time."""
        return reduction_card(cost)


def _said(asked: Values) -> str:
    """Return the page's text, or what its turns say.

    Raises: UserError where it is empty.
    """
    told = given(asked["text"], asked["turns"])
    turns = "\n\n".join(str(each["content"]) for each in told.get("messages", ()))
    text = str(told.get("text") or turns)
    if not text:
        raise UserError("the text above is empty: type one, or measure the loss on passages")
    return text
