"""The Speculate page: words guessed ahead by a small model, checked at once by the large one."""

from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import (
    Drafter,
    Lab,
    ModelRequest,
    Rule,
    SpeculateRequest,
    SpeculationResult,
    pairs,
)
from tokenarium.ui.components.draft_cost_card import speculate_card
from tokenarium.ui.components.rule_choice import offered_rules, refused_rules
from tokenarium.ui.components.run_csv import nodes_csv, rounds_csv
from tokenarium.ui.components.speculate_form import (
    FORM,
    USUAL,
    asked_again,
    for_model,
    speculate_request,
    with_earlier,
)
from tokenarium.ui.components.speculate_tables import speculate_sentence
from tokenarium.ui.pages.race import Race
from tokenarium.ui.panels.speculate.bias import Bias
from tokenarium.ui.panels.speculate.families import Families
from tokenarium.ui.panels.speculate.guesses import Guesses
from tokenarium.ui.panels.speculate.measures import Acceptance, Measures
from tokenarium.ui.panels.speculate.scene import SpeculateScene
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of, groups_of
from tokenarium.ui.shell.panel import Values, number
from tokenarium.ui.shell.section import File, RunPage

FAULT = '<p class="tk-sub"><a href="audit?example=fault">An audit that finds a fault</a></p>'
"""Beside the examples: one that pays, one that does not, and a text that is not the model's."""


class Speculate(RunPage):
    """Drafts and verifies, every tree recorded."""

    path, title, order = "speculate", "Speculate", 3
    intro = (
        "A quick drafter guesses the next tokens; the large model checks all of them in one pass "
        "and keeps those that are right (green)."
    )
    text_label = "Prompt"
    text_hint = "Type or paste a text that the model shall continue."
    model_label = "Large model: whose text it is"
    arrows = "round"
    kinds = (SpeculateRequest,)
    panels = (Guesses, Measures, Acceptance, Bias, Families)
    beside = (Race,)
    partial_every_s: ClassVar[float] = 0.4
    files: ClassVar[dict[str, File]] = {
        "nodes.csv": File("Table of guesses (CSV)", nodes_csv),
        "rounds.csv": File("Table of rounds (CSV)", rounds_csv),
    }

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.rules = {rule.slug: rule for rule in lab.methods(Rule)}
        self.drafters = {drafter.slug: drafter for drafter in lab.methods(Drafter)}

    def under_model(self, controls: Controls) -> None:
        """Make the choice of the small model."""
        names = [info.name for info in self.lab.models()]
        usual = SpeculateRequest.model_fields["draft_model"].default
        small = gr.Dropdown(
            names, value=usual, label="Small model: guesses", allow_custom_value=True,
            elem_id="draft-model",
        )  # fmt: skip
        controls.add("draft_model", small)

    def build(self, controls: Controls) -> None:
        """Make the choice of drafter and rule, and how far to guess."""
        gr.HTML(FAULT)
        with gr.Row():
            labels = {"drafter": "Drafter: how to guess", "rule": "Rule: which guesses stay"}
            for name, known in (("drafter", self.drafters), ("rule", self.rules)):
                chosen = choice_of([*known.values()], USUAL[name], labels[name], elem_id=name)
                controls.add(name, chosen)
            warm = gr.Slider(
                0, 2, 0, step=0.05, label="Temperature", info="0 takes the likeliest token.",
                elem_id="temperature",
            )  # fmt: skip
            controls.add("temperature", warm)
        with gr.Row():
            for name in ("draft_len", "tree_budget", "max_new_tokens"):
                controls.field(SpeculateRequest, name)
        controls.note("refused", gr.HTML("", elem_id="refused-rules"))
        changed = ("rule", "refused", "draft_model")
        controls.offer(("drafter", "temperature"), changed, self.offered)

    def options(self, controls: Controls) -> None:
        """Make the parameters of drafter and rule, and of sampling."""
        known, on = self.drafters | self.rules, ("drafter", "rule")
        controls.form("parameters", lambda asked: groups_of(known, [asked[n] for n in on]), on)
        controls.form("sampling", lambda _: [FORM])

    def offered(self, asked: Values) -> Values:
        """Offer the rules that are right for a drafter at a temperature; say why others are not."""
        drafter, temperature = asked["drafter"], number(asked["temperature"], 0, 5, 0)
        drafted = [pair for pair in pairs(temperature) if pair.drafter == drafter]
        titles = {slug: each.title for slug, each in self.rules.items()}
        offered = offered_rules(drafted, titles)
        known = [slug for _, slug in offered]
        rule = asked["rule"] if asked["rule"] in known else next(iter(known), None)
        source = self.drafters[drafter].source if drafter in self.drafters else "text"
        return {
            "rule": gr.update(choices=offered, value=rule),
            "refused": refused_rules(drafted, titles),
            "draft_model": gr.update(visible=source == "draft_model"),
        }

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one speculative run."""
        return [speculate_request(self.lab, asked)]

    def requests_of(self, asked: Values, visitor: str) -> list[ModelRequest]:
        """Return the run, with texts of earlier ones where its drafter looks into them."""
        return [with_earlier(self.lab, speculate_request(self.lab, asked), visitor)]

    def filled(self, request: SpeculateRequest) -> Values:
        """Return every control as the request has it."""
        told = asked_again(request)
        offered = self.offered(told)
        small = {**offered["draft_model"], "value": request.draft_model}
        return {**told, **offered, "draft_model": small}

    def with_model(self, model: str, filled: Values) -> Values:
        """Return the model, and where the example has another, what guesses for any."""
        offered = self.offered({**USUAL, "temperature": 0.0})
        return for_model(self.drafters, model, filled, offered)

    def sizes(self, result: SpeculationResult) -> Values:
        """Return how many rounds there are."""
        return {"rounds": len(result.rounds)}

    def said(self, scene: SpeculateScene) -> str:
        """Return what happened, in one or two sentences."""
        return speculate_sentence(scene.result, scene.request.model)

    def card(self, cost: Any, request: Any) -> str:
        """Return whether drafting is expected to pay."""
        return speculate_card(cost, request)
