"""The Speculate page: words guessed ahead by a small model, checked at once by the large one."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tokenarium.backend import (
    Cancelled,
    Drafter,
    DrafterSpec,
    Finished,
    Lab,
    Pair,
    Partial,
    Rule,
    Run,
    SpeculateEstimate,
    SpeculateRequest,
    SpeculationResult,
    UserError,
    biases,
    pairs,
)
from tokenarium.ui.components.best_tree import best_tree
from tokenarium.ui.components.cost_card import refused_card
from tokenarium.ui.components.downloads import csv_text
from tokenarium.ui.components.draft_cost_card import speculate_card
from tokenarium.ui.components.sentence import facts_of, status, told
from tokenarium.ui.components.speculate_tables import (
    audit_badge,
    bias_table,
    measures_table,
    others_table,
    refused_rules,
    speculate_sentence,
)
from tokenarium.ui.components.speculation import speculation_value
from tokenarium.ui.components.trees import tree_value
from tokenarium.ui.figures.speculation import NAMES as FIGURES
from tokenarium.ui.figures.speculation import figures
from tokenarium.ui.figures.style import caption
from tokenarium.ui.views.view import Values, number
from tokenarium.ui.visitor import visitor_of

PARTIAL_EVERY_S = 0.4
EXTRA = (
    "seed",
    "dtype",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "stop",
    "vocabularies",
    "engine",
)
"""Parameters of the request that only some visitors change."""
PLAIN = ("model", "draft_model", "draft_len", "tree_budget", "temperature", "max_new_tokens")


@dataclass(frozen=True)
class Asked:
    """What the controls of the page say; a browser may send anything."""

    values: Mapping[str, Any]
    """By name: prompt, drafter, rule, and fields of the request."""
    drafter: Mapping[str, Any]
    """Parameters of the drafter."""
    rule: Mapping[str, Any]
    """Parameters of the rule."""


class Speculate:
    """Handlers of the page; they return values by the name of the part."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.titles = {rule.slug: rule.title for rule in lab.methods(Rule)}
        self.drafters = {drafter.slug: drafter for drafter in lab.methods(Drafter)}

    def run(self, asked: Asked, request: gr.Request) -> Iterator[Values]:
        """Draft and verify, showing what is known so far."""
        try:
            wanted = self.request(asked)
            drawn = 0.0
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                if isinstance(event, Finished):
                    yield self._whole(event.run)
                elif not isinstance(event, Partial):
                    yield {"status": told(event)}
                elif time.monotonic() - drawn > PARTIAL_EVERY_S:
                    assert isinstance(event.result, SpeculationResult)
                    yield self._partial(event.result)
                    drawn = time.monotonic()
        except (UserError, Cancelled) as error:
            yield {"status": status(str(error), "error")}

    @staticmethod
    def stopped(told_before: object) -> Any:
        """Say that the run was stopped, where one was."""
        if "tk-busy" not in str(told_before):
            return status("Nothing is running now.")
        return status("Cancelled. What was shown stays; nothing was stored.")

    def open(self, run_id: object, request: gr.Request) -> Values:
        """Show a stored run, the controls as they were when it was asked for."""
        if not isinstance(run_id, str) or not run_id:
            return {}
        try:
            run = self.lab.open(run_id, visitor=visitor_of(request))
            return self._whole(run)
        except UserError as error:
            return {"status": status(str(error), "error")}

    def first(self) -> Values:
        """Return the parts of the stored example, drawn before any visitor comes."""
        try:
            examples = self.lab.examples("speculate")
            run = self.lab.open(examples[0].run_id) if examples else None
            return {} if run is None else self._whole(run)
        except UserError:
            return {}

    def tree(self, run_id: str, place: int) -> dict[str, Any]:
        """Return one round's tree of a stored run, or in words why not."""
        try:
            result, _ = speculation_of(self.lab.open(str(run_id)))
        except UserError as error:
            return {"refused": str(error)}
        if not len(result.rounds):
            return {"refused": "This run has no rounds."}
        return tree_value(result, int(number(place, 0, len(result.rounds) - 1, 0)), self.titles)

    def cost(self, asked: Asked, request: gr.Request) -> str:
        """Say what drafting can save with the controls as they are."""
        try:
            wanted = self.request(asked)
            cost = self.lab.estimate(wanted, visitor=visitor_of(request))
        except UserError as error:
            return refused_card(str(error))
        assert isinstance(cost, SpeculateEstimate)
        return speculate_card(cost, wanted)

    def rules(self, drafter: object, temperature: object, rule: object) -> Values:
        """Offer the rules that are right for a drafter at a temperature; say why others are not."""
        drafted = self._pairs(drafter, temperature)
        fitting = [pair for pair in drafted if pair.reason is None]
        offered = [(self._named(pair), pair.rule) for pair in fitting]
        known = {slug for _, slug in offered}
        source = self.drafters[drafter].source if drafter in self.drafters else "text"
        chosen = rule if rule in known else next((slug for _, slug in offered), None)
        return {
            "rule": gr.update(choices=offered, value=chosen),
            "refused": refused_rules(drafted, self.titles),
            "draft_model": gr.update(visible=source == "draft_model"),
        }

    def apply(self, run_id: object, request: gr.Request) -> Values:
        """Set the controls to a run's question, with the best tree for what it measured."""
        if not isinstance(run_id, str):
            return {"status": status("No stored run to take the acceptance from.", "error")}
        try:
            result, asked = speculation_of(self.lab.open(run_id, visitor=visitor_of(request)))
            best = best_tree(result, asked)
            if best is None:
                raise UserError("no guess of this run was accepted: there is no best tree")
            drafter = {**asked.drafter.parameters, "shape": list(best.shape)}
            again = asked.model_copy(
                update={"drafter": DrafterSpec(slug=asked.drafter.slug, parameters=drafter)}
            )
        except UserError as error:
            return {"status": status(str(error), "error")}
        done = "The best tree is set as shape of the drafter: press Run."
        return {**self._controls(again), "status": status(done)}

    def export(self, run_id: str, file: str) -> str:
        """Return a stored run, or one of its tables, as the text of a file."""
        try:
            result, _ = speculation_of(self.lab.open(run_id))
            tables = {"nodes.csv": result.nodes, "rounds.csv": result.rounds}
            return csv_text(tables[file]) if file in tables else self.lab.export(run_id)
        except UserError as error:
            return str(error)

    def biases(self) -> str:
        """Return how far each rule is from the target's distribution, for every way to draw."""
        return bias_table(biases(), self.lab.methods(Drafter))

    def stored(self, request: gr.Request) -> list[tuple[str, str]]:
        """Return label and id of the newest runs of this kind that the visitor may list."""
        found = self.lab.search(visitor=visitor_of(request), kind="speculate", limit=30)
        return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]

    def request(self, asked: Asked) -> SpeculateRequest:
        """Return the request that the controls stand for.

        Raises:
            UserError: naming each value that is out of range.
        """
        values = dict(asked.values)
        prompt, drafter, rule = (values.pop(name) for name in ("prompt", "drafter", "rule"))
        for name in ("draft_len", "tree_budget", "max_new_tokens"):
            values[name] = int(number(values[name], 0, 1e6, 0))
        return self.lab.request(
            SpeculateRequest,
            text=prompt,
            drafter={"slug": drafter, "parameters": dict(asked.drafter)},
            rule={"slug": rule, "parameters": dict(asked.rule)},
            **values,
        )

    def _pairs(self, drafter: object, temperature: object) -> list[Pair]:
        every = pairs(number(temperature, 0, 5, 0))
        return [pair for pair in every if pair.drafter == drafter]

    def _named(self, pair: Pair) -> str:
        relaxed = " (relaxed: another distribution)" if pair.promise == "relaxed" else ""
        return self.titles[pair.rule] + relaxed

    def _whole(self, run: Run) -> Values:
        result, asked = speculation_of(run)
        example = run.id.startswith("example-")
        return {
            "status": "",
            "said": speculate_sentence(result),
            "speculation": speculation_value(result, run.id, self.titles),
            "measures": measures_table(result),
            "others": others_table(result, self.titles),
            "audit": audit_badge(result.audit),
            **self._best(result, asked),
            **self._figures(result, asked),
            "facts": facts_of(run),
            "run": run.id,
            "downloads": run.id,
            "address": {"run": run.id, "example": example},
            **self._controls(asked),
        }

    def _partial(self, result: SpeculationResult) -> Values:
        """Return what is known of a run that goes on, and nothing of the one before it."""
        return {
            **dict.fromkeys(("others", "audit", "best", "facts"), ""),
            **dict.fromkeys(FIGURES),
            "said": speculate_sentence(result),
            "speculation": speculation_value(result, None, self.titles),
            "measures": measures_table(result),
            "apply": gr.update(visible=False),
            "run": None,
            "downloads": None,
        }

    def _best(self, result: SpeculationResult, asked: SpeculateRequest) -> Values:
        takes = "shape" in self.drafters[asked.drafter.slug].model_fields
        best = best_tree(result, asked) if takes else None
        return {
            "best": "" if best is None else best.html,
            "apply": gr.update(visible=best is not None),
        }

    def _figures(self, result: SpeculationResult, asked: SpeculateRequest) -> Values:
        credit = f"Tokenarium · {asked.model} · {result.drafter} · {result.rule}"
        return {
            name: None if figure is None else str(caption(figure, credit).to_json())
            for name, figure in figures(result).items()
        }

    def _controls(self, asked: SpeculateRequest) -> Values:
        """Return every control as the request has it."""
        return {
            **{name: getattr(asked, name) for name in PLAIN},
            **self.rules(asked.drafter.slug, asked.temperature, asked.rule.slug),
            "prompt": asked.text,
            "drafter": asked.drafter.slug,
            "draft_model": gr.update(
                value=asked.draft_model,
                visible=self.drafters[asked.drafter.slug].source == "draft_model",
            ),
            "drafter_parameters": asked.drafter,
            "rule_parameters": asked.rule,
            "extra": [_shown(getattr(asked, name)) for name in EXTRA],
        }


def speculation_of(run: Run) -> tuple[SpeculationResult, SpeculateRequest]:
    """Return result and request of a run that must be a speculative one.

    Raises:
        UserError: if it is of another kind.
    """
    if not isinstance(run.result, SpeculationResult):
        raise UserError(f"run={run.id} is a {run.request.kind}, not a speculative run")
    assert isinstance(run.request, SpeculateRequest)
    return run.result, run.request


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
