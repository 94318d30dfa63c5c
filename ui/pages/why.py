"""The Why page: which parts of a text made the model expect a token, beside a check."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import (
    AttributeRequest,
    AttributeResult,
    Attributor,
    Lab,
    ModelRequest,
    Run,
    UserError,
    explain,
)
from tokenarium.ui.components.attribution import (
    attribution_card,
    attribution_sentence,
    own_contrast,
)
from tokenarium.ui.components.attribution_form import attribution_request, build_target
from tokenarium.ui.components.run_csv import units_csv
from tokenarium.ui.components.turns import shown_again
from tokenarium.ui.pages.ablate import Ablate
from tokenarium.ui.pages.methods import Methods
from tokenarium.ui.pages.patch import Patch
from tokenarium.ui.pages.reduce import Reduce
from tokenarium.ui.panels.attribution.bars import Bars
from tokenarium.ui.panels.attribution.map import Map
from tokenarium.ui.panels.attribution.scene import AttributionScene
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of, groups_of
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.shell.section import File, RunPage
from tokenarium.ui.shell.selection import number_of


class Why(RunPage):
    """Explains one token of a text by what stands before it."""

    path, title, order = "why", "Why", 6
    intro = (
        "Which words made the model say that: each is changed and the token's log probability read "
        "again, and a check says whether the map beats chance."
    )
    text_hint = "Type or paste a text; its last token is explained."
    kinds = (AttributeRequest,)
    panels = (Map, Bars)
    beside = (Methods, Patch, Ablate, Reduce)
    files: ClassVar[dict[str, File]] = {"units.csv": File("Table of units (CSV)", units_csv)}

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.attributors = {method.slug: method for method in lab.methods(Attributor)}

    def build(self, controls: Controls) -> None:
        """Make the choice of method, unit, target and what it is compared with."""
        with gr.Row():
            chosen = choice_of(
                [*self.attributors.values()], "occlusion", "Method", elem_id="attributor"
            )
            controls.add("attributor", chosen)
            controls.field(AttributeRequest, "unit")
        build_target(controls)
        theirs = self.lab.examples("attribute")
        controls.offer(["text"], ["against"], lambda asked: own_contrast(theirs, asked))

    def options(self, controls: Controls) -> None:
        """Make the parameters of the method, and how exactly changed texts are read."""
        controls.form(
            "parameters",
            lambda asked: groups_of(self.attributors, asked["attributor"]),
            ["attributor"],
        )
        controls.field(AttributeRequest, "matmul_precision", value="medium")

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one attribution."""
        return [attribution_request(self.lab, asked)]

    def filled(self, request: AttributeRequest) -> Values:
        """Return every control as the request has it."""
        return {
            "model": request.model,
            **shown_again(request),
            "target": request.target,
            "against": request.against or "",
            "attributor": request.method,
            "parameters": {request.method: request.parameters},
            "unit": request.unit,
            "matmul_precision": request.matmul_precision,
        }

    def with_model(self, model: str, filled: Values) -> Values:
        """Return the model; in another one the word compared with may be several tokens."""
        return {"model": model} if filled["model"] == model else {"model": model, "against": ""}

    def arriving(self, asked: Mapping[str, str], visitor: str) -> ModelRequest | None:
        """Return the question about a token of any stored run: ``explain=RUN.PLACE``.

        Of a decoding run, ``explain=RUN.STEP.LANE``.
        """
        if "explain" not in asked:
            return None
        name, *numbers = asked["explain"].split(".")
        places = [number_of(each) for each in numbers]
        if len(places) not in (1, 2) or None in places:
            raise UserError(f"explain={asked['explain']:.80}: give RUN.PLACE or RUN.STEP.LANE")
        return explain(self.lab.open(name, visitor=visitor), *[int(each or 0) for each in places])

    def sizes(self, result: AttributeResult) -> Values:
        """Return how many tokens there are."""
        return {"tokens": result.length}

    def said(self, scene: AttributionScene) -> str:
        """Return the target, the unit that did most, and the verdict of the check."""
        return attribution_sentence(scene.result)

    def card(self, cost: Any, request: Any) -> str:
        """Return tokens, passes, what the method needs, and time."""
        return attribution_card(cost, request)

    def point(self, run: Run, number: int) -> ModelRequest | None:
        """Return the same question about another token of the text."""
        asked, result = run.request, run.result
        assert isinstance(asked, AttributeRequest)
        assert isinstance(result, AttributeResult)
        known = 1 <= number < result.length
        return asked.model_copy(update={"target": number, "against": None}) if known else None
