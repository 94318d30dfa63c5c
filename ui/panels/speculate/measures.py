"""What a speculative run adds up to: numbers, audit, other rules, the best tree; figures."""

from collections.abc import Iterator

import gradio as gr

from tokenarium.backend import Drafter, Lab, Rule, UserError
from tokenarium.ui.components.best_tree import BestTree, best_tree
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.speculate_tables import (
    audit_badge,
    audit_link,
    measures_table,
    others_table,
)
from tokenarium.ui.figures.speculation import figures
from tokenarium.ui.panels.speculate.scene import SpeculateScene
from tokenarium.ui.shell.panel import Action, Panel, Values

FIGURES = {
    "time": ("Where the time goes", "Of one new token; plain decoding was timed in the same run."),
    "fates": ("What became of the guesses", "Rejected and never reached guesses are the price."),
    "by_depth": (
        "Acceptance by depth",
        "Of the rounds that came that deep: how often a guess there was accepted.",
    ),
    "by_rank": (
        "Acceptance by rank",
        "How often the draft's first, second, ... choice is the one that stays.",
    ),
    "expected": (
        "Expected and real acceptance",
        "On the dotted line guesses are accepted as often as expected; larger marks, more guesses.",
    ),
    "by_entropy": (
        "Acceptance by the draft's doubt",
        "The less sure the small model is, the less of it stays.",
    ),
    "exits": (
        "What leaving early promises",
        "How often each layer alone would have said the text, and the tokens that drafting there "
        "gives by chains of up to 8, over plain decoding: below the dotted line it loses.",
    ),
    "verify": ("What verifying costs", "A pass over many guesses, beside one over a single token."),
}


class Measures(Panel):
    """Tables of a run, and a button that sets the best tree as the shape of the drafter."""

    slug = "measures"

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.titles = {rule.slug: rule.title for rule in lab.methods(Rule)}
        self.drafters = {drafter.slug: drafter for drafter in lab.methods(Drafter)}

    def build(self) -> None:
        """Make the tables and the button."""
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                self.html("measures")
            with gr.Column(min_width=320):
                self.html("audit")
                self.html("other_rules")
                self.html("best_tree")
                self.use = gr.Button("Use this tree", size="sm", elem_id="apply-tree")
                self.parts["apply"] = self.use

    def draw(self, scene: SpeculateScene) -> Values:
        """Return every table; of a run that goes on only its numbers."""
        result, done = scene.result, bool(scene.runs)
        best = self._best(scene) if done else None
        return {
            "measures": measures_table(result),
            "audit": audit_badge(result.audit) + audit_link(scene.chosen.run) if done else "",
            "other_rules": others_table(result, self.titles) if done else "",
            "best_tree": "" if best is None else best.html,
            "apply": gr.update(visible=best is not None),
        }

    def empty(self) -> Values:
        """Return no table and no button."""
        return {**super().empty(), "apply": gr.update(visible=False)}

    def actions(self) -> list[Action]:
        """Return the button that sets the tree."""
        return [Action([self.use.click], self.apply, fills=True)]

    def apply(self, scene: SpeculateScene) -> Iterator[Values]:
        """Set the page's drafter to the best tree for what this run measured."""
        asked, best = scene.request, self._best(scene)
        if best is None:
            raise UserError("no guess of this run was accepted: there is no best tree")
        drafter, rule = asked.drafter, asked.rule
        shaped = {**drafter.parameters, "shape": list(best.shape)}
        yield {
            "drafter": drafter.slug,
            "rule": rule.slug,
            "parameters": {drafter.slug: shaped, rule.slug: rule.parameters},
            "status": status("The best tree is set as shape of the drafter: press Run."),
        }

    def _best(self, scene: SpeculateScene) -> BestTree | None:
        takes = "shape" in self.drafters[scene.request.drafter.slug].model_fields
        return best_tree(scene.result, scene.request) if takes else None


class Acceptance(Panel):
    """Figures of time and acceptance, once the run is done."""

    slug = "acceptance"

    def build(self) -> None:
        """Make them side by side; those with nothing to show take no room."""
        with gr.Row(elem_classes="tk-figures"):
            for name, told in FIGURES.items():
                with gr.Column(min_width=320):
                    self.figure(name, *told)

    def draw(self, scene: SpeculateScene) -> Values:
        """Return every figure."""
        if not scene.runs:
            return self.empty()
        return {name: scene.drawn(figure) for name, figure in figures(scene.result).items()}
