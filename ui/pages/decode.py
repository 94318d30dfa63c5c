"""The Decode page: watch a model choose, step by step, and take the road it did not."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import (
    DecodeRequest,
    DecodeResult,
    Lab,
    LogprobsRequest,
    ModelRequest,
    Run,
    Strategy,
    UserError,
    fork,
)
from tokenarium.ui.components import decode_changes
from tokenarium.ui.components.decode_card import decode_card, decode_sentence
from tokenarium.ui.components.decoding import branch_of, place_of_road
from tokenarium.ui.components.response import is_response
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.panels.decode.doubt import Doubt
from tokenarium.ui.panels.decode.premises import Premises
from tokenarium.ui.panels.decode.roads import Roads
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.panels.decode.writing import Writing
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of, groups_of
from tokenarium.ui.shell.panel import Values, number
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.shell.selection import Chosen, Selection

USUAL = ["greedy", "contrastive", "sampling"]
MOST = 4
MOST_SHOWN = 20_000
"""Characters of an imported response that are put into the text box again."""


class Decode(RunPage):
    """One prompt, plain decoding and up to three strategies beside it."""

    path, title, order = "decode", "Decode", 4
    intro = (
        "A model says how likely every next token is; a strategy chooses. See where it hesitates, "
        "and press another token to go on from it."
    )
    text_label = "Prompt"
    text_hint = (
        "Type or paste a text that the model shall continue, or a response with logprobs in "
        "OpenAI's format (JSON), which is shown without a model."
    )
    arrows = "step"
    kinds = (DecodeRequest, LogprobsRequest)
    panels = (Premises, Writing, Roads, Doubt)
    partial_every_s: ClassVar[float] = 0.4
    first_partial_s: ClassVar[float] = 0.001

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.known = {strategy.slug: strategy for strategy in lab.methods(Strategy)}

    def build(self, controls: Controls) -> None:
        """Make the choice of strategies, and how far to write."""
        with gr.Row():
            controls.add(
                "strategies",
                choice_of(
                    [*self.known.values()],
                    USUAL,
                    f"Strategies (up to {MOST})",
                    multiselect=True,
                    max_choices=MOST,
                    info="Plain decoding is always the first lane.",
                    elem_id="strategies",
                    scale=3,
                ),
            )
            controls.field(DecodeRequest, "max_new_tokens")
            controls.field(DecodeRequest, "seed")

    def options(self, controls: Controls) -> None:
        """Make the parameters of the chosen strategies."""
        controls.form(
            "parameters", lambda asked: groups_of(self.known, asked["strategies"]), ["strategies"]
        )
        decode_changes.build(controls, self.lab)

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one run of the chosen strategies, or of a response that stands in the text box."""
        read = given(asked["text"], asked["turns"])
        if is_response(read.get("text")):  # in a chat, the text box is not what is asked
            return [self.lab.request(LogprobsRequest, content=asked["text"])]
        slugs = asked["strategies"] if isinstance(asked["strategies"], list) else []
        if not slugs:
            raise UserError(f"strategies is empty: choose 1 to {MOST}")
        told = asked["parameters"]
        return [
            self.lab.request(
                DecodeRequest,
                model=asked["model"],
                **read,
                strategies=[
                    {"slug": slug, "parameters": told.get(str(slug), {})} for slug in slugs
                ],
                **decode_changes.chosen(asked),
                max_new_tokens=int(number(asked["max_new_tokens"], 1, 1024, 48)),
                seed=int(number(asked["seed"], 0, 2**31 - 1, 0)),
            )
        ]

    def filled(self, request: DecodeRequest | LogprobsRequest) -> Values:
        """Return every control as the request has it; of a response, its text alone."""
        if isinstance(request, LogprobsRequest):
            return {"text": request.content} if len(request.content) <= MOST_SHOWN else {}
        return {
            **{name: getattr(request, name) for name in ("model", "max_new_tokens", "seed")},
            **shown_again(request),
            **decode_changes.again(request),
            "strategies": [spec.slug for spec in request.strategies],
            "parameters": {spec.slug: spec.parameters for spec in request.strategies},
        }

    def place(self, wanted: Selection, result: DecodeResult) -> Chosen:
        """Return the chosen step, within the longest lane."""
        return Chosen(wanted.run, step=min(wanted.step or 0, self.sizes(result)["steps"] - 1))

    def sizes(self, result: DecodeResult) -> Values:
        """Return how many steps there are."""
        return {"steps": max(1, *(len(lane.token_ids) for lane in result.lanes))}

    def point(self, run: Run, number: int) -> ModelRequest:
        """Return the run that goes on from another token of a step."""
        return fork(run, *place_of_road(run.result, number))

    def arriving(self, asked: Mapping[str, str], visitor: str) -> ModelRequest | None:
        """Return what goes on from a token of any stored run: ``branch=RUN.PLACE.RANK``."""
        if "branch" not in asked:
            return None
        run, places = branch_of(asked["branch"])
        return fork(self.lab.open(run, visitor=visitor), *places)

    def said(self, scene: DecodeScene) -> str:
        """Return where the model was unsure, and who left plain decoding where."""
        return decode_sentence(scene.result)

    def card(self, cost: Any, request: Any) -> str:
        """Return passes and time; nothing of a response, which no model reads."""
        return "" if isinstance(request, LogprobsRequest) else decode_card(cost)
