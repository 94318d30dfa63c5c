"""Race: up to three drafters on the same prompt, one after another, then side by side."""

from collections.abc import Sequence
from typing import Any, ClassVar

from tokenarium.backend import Drafter, Lab, ModelRequest, Rule, SpeculateRequest, UserError, pairs
from tokenarium.ui.components.speculate_form import speculate_request
from tokenarium.ui.panels.speculate.lanes import Racers
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.drawing import BETWEEN
from tokenarium.ui.shell.methods import choice_of
from tokenarium.ui.shell.panel import Values, number
from tokenarium.ui.shell.section import Section

MOST = 3
SHIPPED = ("said-before", "half-a-model")
"""Examples that read the same prompt."""


class Race(Section):
    """Runs each drafter under a rule that is right for it."""

    slug, title, go = "race", "Race", "Race"
    intro = (
        "The prompt, models and temperature above, one drafter after another, each with a rule "
        "that is right for it; then all at once, in the time each took, beside plain decoding."
    )
    kinds = (SpeculateRequest,)
    panels = (Racers,)
    partial_every_s: ClassVar[float] = float("inf")

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.titles: dict[str, str] = {
            drafter.slug: drafter.title for drafter in lab.methods(Drafter)
        }
        self.needs_draft_probs = {rule.slug: rule.needs_draft_probs for rule in lab.methods(Rule)}

    def build(self, controls: Controls) -> None:
        """Make the choice of drafters: one for each thing that guesses can come from."""
        drafters = self.lab.methods(Drafter)
        usual: dict[str, str] = {}
        for drafter in drafters:
            if drafter.source != "target_states":  # few models have a head of their own
                usual.setdefault(drafter.source, drafter.slug)
        chosen = list(usual.values())[:MOST]
        label = f"Drafters (up to {MOST})"
        controls.add(
            "racers",
            choice_of(
                drafters, chosen, label, multiselect=True, max_choices=MOST, elem_id="racers"
            ),
        )

    def offered_runs(self) -> list[tuple[str, str]]:
        """Return the one race that is shipped, where its runs are stored."""
        stored = {each.slug: each.run_id for each in self.lab.examples(SpeculateRequest.kind)}
        if not all(slug in stored for slug in SHIPPED):
            return []
        return [
            (
                "guesses from the prompt against half of the model",
                BETWEEN.join(stored[slug] for slug in SHIPPED),
            )
        ]

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return the page's own question with each drafter, under a rule right for it."""
        slugs = asked["racers"] if isinstance(asked["racers"], list) else []
        if not 1 <= len(slugs) <= MOST:
            raise UserError(f"drafters={len(slugs)} chosen: choose 1 to {MOST} to race")
        return [
            speculate_request(
                self.lab, {**asked, "drafter": slug, "rule": self.rule_for(slug, asked)}
            )
            for slug in slugs
        ]

    def rule_for(self, slug: str, asked: Values) -> Any:
        """Return the page's rule where it is right; else a lossless one.

        Rules that use how likely the draft found a guess accept more, and come first.
        """
        every = pairs(number(asked["temperature"], 0, 5, 0))
        right = [pair for pair in every if pair.drafter == slug and pair.reason is None]
        fitting: Sequence[str] = [pair.rule for pair in right if pair.promise == "lossless"]
        own = asked["rule"]
        if own in {pair.rule for pair in right} or not fitting:
            return own
        reading = (rule for rule in fitting if self.needs_draft_probs[rule])
        return next(reading, fitting[0])

    def doing(self, request: Any) -> str:
        """Return which drafter it is about."""
        return self.titles[request.drafter.slug]
