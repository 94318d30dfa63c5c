"""Where everything stands on the Speculate page, and which event calls which handler."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.components.address import address
from tokenarium.ui.components.downloads import downloads
from tokenarium.ui.components.plot import plot
from tokenarium.ui.components.speculation import speculation
from tokenarium.ui.pages.race import Race
from tokenarium.ui.pages.race_layout import RaceLayout
from tokenarium.ui.pages.speculate import Speculate
from tokenarium.ui.pages.speculate_controls import SpeculateControls
from tokenarium.ui.views.view import Values

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}
FILES = {"run.json": "Download JSON", "nodes.csv": "Nodes as CSV", "rounds.csv": "Rounds as CSV"}
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
    "verify": ("What verifying costs", "A pass over many guesses, beside one over a single token."),
}


class SpeculateLayout:
    """Build the Speculate page inside the current ``gr.Blocks``, in the tab ``tab``."""

    def __init__(self, lab: Lab, blocks: gr.Blocks, tab: gr.Tab) -> None:
        self.page = Speculate(lab)
        first = self.page.first()
        gr.HTML(_INTRODUCTION)
        self.controls = SpeculateControls(lab, first)
        self.parts: dict[str, Any] = dict(self.controls.parts)
        self._views(first)
        self.racing, self.race = Race(lab, self.page), RaceLayout(lab)
        self.parts |= self.race.parts
        self._end(first)
        self.every = [
            *self.parts.values(),
            *self.controls.extra,
            *self.controls.of_drafter.inputs,
            *self.controls.of_rule.inputs,
        ]
        self._asking()
        self._showing(blocks)
        self._choosing(blocks, tab)

    def _views(self, first: Values) -> None:
        parts = self.parts
        parts["status"] = gr.HTML("", elem_id="speculate-status")
        parts["said"] = gr.HTML(first.get("said", ""), elem_id="speculate-said")
        parts["speculation"] = speculation(first.get("speculation"), self.page.tree)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                parts["measures"] = gr.HTML(first.get("measures", ""), elem_id="measures")
            with gr.Column(min_width=320):
                parts["audit"] = gr.HTML(first.get("audit", ""), elem_id="audit")
                parts["others"] = gr.HTML(first.get("others", ""), elem_id="other-rules")
                parts["best"] = gr.HTML(first.get("best", ""), elem_id="best-tree")
                parts["apply"] = gr.Button(
                    "Use this tree",
                    size="sm",
                    visible=first.get("apply", {"visible": False})["visible"],
                    elem_id="apply-tree",
                )
        with gr.Row(elem_classes="tk-figures"):
            for name, told in FIGURES.items():
                with gr.Column(min_width=320):
                    parts[name] = plot(first.get(name), name, *told)

    def _end(self, first: Values) -> None:
        parts = self.parts
        with gr.Accordion("Which rule is right for which drafter: exact bias", open=False) as show:
            self.matrix = gr.HTML("", elem_id="bias")
        self.show = show
        parts["facts"] = gr.HTML(first.get("facts", ""))
        parts["run"] = gr.State(first.get("run"))
        parts["downloads"] = downloads("speculate", first.get("run"), self.page.export, FILES)
        parts["address"] = address("speculate", first.get("address"))

    def _asking(self) -> None:
        controls = self.controls
        running = controls.go.click(
            self._run, controls.asked, self.every, concurrency_limit=None, **QUIET
        )
        shown = self.parts["status"]
        controls.stop.click(
            self.page.stopped, shown, shown, cancels=[running], queue=False, **QUIET
        )
        # What Run took is known now, and whether drafting paid.
        running.then(self._cost, controls.asked, self.parts["cost"], **EAGER)
        race = self.race
        racing = race.go.click(
            self._raced, [race.chosen, *controls.asked], self.every, concurrency_limit=None, **QUIET
        )
        raced = self.parts["race_status"]
        race.stop.click(self.page.stopped, raced, raced, cancels=[racing], queue=False, **QUIET)
        self.parts["apply"].click(self._applied, self.parts["run"], self.every, **EAGER)
        self.show.expand(self.page.biases, None, self.matrix, **EAGER)

    def _showing(self, blocks: gr.Blocks) -> None:
        parts, library = self.parts, self.controls.library
        library.focus(self._listed, None, library, **EAGER)
        library.input(self._opened, library, self.every, **EAGER)
        parts["address"].open(self._named, parts["address"], self.every, **EAGER)
        blocks.load(self._booted, None, self.every, **EAGER)

    def _choosing(self, blocks: gr.Blocks, tab: gr.Tab) -> None:
        parts, controls = self.parts, self.controls
        told = [parts[name] for name in ("drafter", "temperature", "rule")]
        outputs = [parts[name] for name in ("rule", "refused", "draft_model")]
        changed = [parts["drafter"].change, parts["temperature"].change]
        gr.on(changed, self._rules, told, outputs, **EAGER)
        for name, group in (("drafter", controls.of_drafter), ("rule", controls.of_rule)):
            parts[name].change(group.seen, parts[name], group.groups, **EAGER)
        changes = [component.change for component in controls.asked]
        gr.on([tab.select, *changes], self._cost, controls.asked, parts["cost"], **EAGER)
        blocks.load(self._first_cost, controls.asked, parts["cost"], **EAGER)

    def _run(self, request: gr.Request, *told: Any) -> Iterator[Values]:
        for found in self.page.run(self.controls.read(told), request):
            yield self._placed(found)

    def _raced(self, request: gr.Request, chosen: object, *told: Any) -> Iterator[Values]:
        for found in self.racing.run(self.controls.read(told), chosen, request):
            yield self._placed(found)

    def _applied(self, run_id: object, request: gr.Request) -> Values:
        return self._placed(self.page.apply(run_id, request))

    def _cost(self, request: gr.Request, *told: Any) -> str:
        return self.page.cost(self.controls.read(told), request)

    def _first_cost(self, request: gr.Request, *told: Any) -> Any:
        """Fill the card of a page that the address names: no tab was chosen by hand."""
        mine = dict(request.query_params).get("tab") == "speculate"
        return self._cost(request, *told) if mine else gr.skip()

    def _rules(self, drafter: object, temperature: object, rule: object) -> Values:
        return self._placed(self.page.rules(drafter, temperature, rule))

    def _opened(self, run_id: object, request: gr.Request) -> Values:
        return self._placed(self.page.open(run_id, request))

    def _named(self, asked: object, request: gr.Request) -> Values:
        """Open the run that the address names, or the first one where it names none."""
        if not isinstance(asked, dict) or "run" not in asked:
            return self._placed({})
        found = self.page.open(asked["run"], request) or self.page.first()
        return self._placed(_both(found, self.racing.open(asked.get("race"), request)))

    def _booted(self, request: gr.Request) -> Values:
        named = dict(request.query_params)
        if named.get("tab") != "speculate":
            return self._placed({})
        found = self.page.open(named.get("run"), request)
        return self._placed(_both(found, self.racing.open(named.get("race"), request)))

    def _listed(self, request: gr.Request) -> gr.Dropdown:
        return gr.Dropdown(choices=self.page.stored(request))

    def _placed(self, found: Values) -> Values:
        found = dict(found) or {"status": gr.skip()}
        filled = self.controls.filled(found)
        return {self.parts[name]: value for name, value in found.items()} | filled


def _both(run: Values, race: Values) -> Values:
    """Return what a run and a race show; the address names both."""
    named = {**run.get("address", {}), **race.get("address", {})}
    return {**run, **race, **({"address": named} if named else {})}


_INTRODUCTION = (
    '<p class="tk-sub">A small model guesses the next words, a large one checks all of them in one '
    "pass. Green was guessed right and kept; grey was guessed and thrown away. The large model "
    "says several words for the price of one, and with a lossless rule the text is exactly as good "
    "as its own.</p>"
)
