"""Where everything stands on the Cache page, and which event calls which handler."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.components.address import address
from tokenarium.ui.components.plot import plot
from tokenarium.ui.components.table import table
from tokenarium.ui.components.token_rows import lanes
from tokenarium.ui.pages.cache import Asked, CachePage
from tokenarium.ui.pages.cache_controls import CacheControls
from tokenarium.ui.pages.tradeoff import Tradeoff
from tokenarium.ui.pages.tradeoff_layout import TradeoffLayout
from tokenarium.ui.views.view import Values

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}
FIGURES = {
    "cache_map": (
        "What one head holds",
        "Every row is a step, every column a token: why it is held, or that it is gone.",
    ),
    "cache_scores": (
        "How the policy scores the text",
        "Above the dashed line stays. Diamonds are close decisions; dotted is what noise scores.",
    ),
    "cache_bytes": ("Memory", "Bytes of the storage, counted, not computed."),
    "cache_time": ("Time", "Wall time of every step, the oracle's left out."),
    "cache_kl": ("Cost", "How far the prediction moves from the full cache's."),
    "cache_lost": ("What is missed", "The full model's attention to tokens that are gone."),
}


class CacheLayout:
    """Build the Cache page inside the current ``gr.Blocks``, in the tab ``tab``."""

    def __init__(self, lab: Lab, blocks: gr.Blocks, tab: gr.Tab) -> None:
        self.page, self.tradeoff = CachePage(lab), Tradeoff(lab)
        first = self.page.first()
        gr.HTML(_INTRODUCTION)
        self.controls = CacheControls(lab, first)
        self.parts: dict[str, Any] = dict(self.controls.parts)
        self._views(first)
        self.sweep = TradeoffLayout(lab)
        self.parts |= self.sweep.parts
        self.every = [*self.parts.values(), *self.controls.parameters.inputs]
        # Controls that a run leaves alone are no outputs of it: each would tell of a change.
        self.shown = [part for name, part in self.parts.items() if name not in self.controls.parts]
        self._asking()
        self._showing(blocks)
        self._costing(tab)

    def _views(self, first: Values) -> None:
        parts = self.parts
        parts["cache_status"] = gr.HTML("", elem_id="cache-status")
        parts["cache_said"] = gr.HTML(first.get("cache_said", ""), elem_id="cache-said")
        parts["lanes"] = lanes(first.get("lanes"))
        parts["cache_table"] = table(first.get("cache_table"), "cache")
        which = first.get("cache_which", {"choices": [], "value": None})
        with gr.Row(visible="cache_place" in first) as parts["cache_place"]:
            parts["cache_which"] = gr.Dropdown(
                which["choices"],
                value=which["value"],
                label="Policy in the map",
                elem_id="cache-which",
            )
            for name, label in (("layer", "Layer"), ("head", "KV head")):
                most = first.get(f"cache_{name}", {"maximum": 1})["maximum"]
                parts[f"cache_{name}"] = gr.Slider(
                    0, most, value=0, step=1, label=label, elem_id=f"cache-{name}"
                )
            self.step = gr.Slider(0, 512, value=512, step=1, label="Scores at step")
        names = list(FIGURES)
        for pair in zip(names[::2], names[1::2], strict=True):
            with gr.Row(equal_height=False):
                for name in pair:
                    with gr.Column(min_width=320):
                        parts[name] = plot(first.get(name), name, *FIGURES[name])
        parts["cache_facts"] = gr.HTML(first.get("cache_facts", ""))
        parts["cache_run"] = gr.State(first.get("cache_run"))
        parts["cache_address"] = address("cache", first.get("cache_address"))

    def _asking(self) -> None:
        parts, controls, sweep = self.parts, self.controls, self.sweep
        self.place = [parts["cache_layer"], parts["cache_head"], self.step, parts["cache_which"]]
        self.asked = [*controls.asked, *controls.parameters.inputs]
        running = controls.go.click(
            self._run, [*self.place, *self.asked], self.shown, concurrency_limit=None, **QUIET
        )
        controls.stop.click(None, cancels=[running], queue=False, **QUIET)
        # A run teaches what such a run takes.
        running.then(self._cost, self.asked, parts["cache_cost"], **EAGER)
        swept = [*sweep.controls.values(), *self.asked]
        sweeping = sweep.go.click(self._swept, swept, self.shown, concurrency_limit=None, **QUIET)
        sweep.stop.click(None, cancels=[sweeping], queue=False, **QUIET)
        again = [parts["sweep_run"], sweep.controls["measure"]]
        sweep.controls["measure"].input(self._restyled, again, self.shown, **EAGER)

    def _showing(self, blocks: gr.Blocks) -> None:
        parts, controls = self.parts, self.controls
        moves = [component.input for component in self.place]
        gr.on(moves, self._moved, [parts["cache_run"], *self.place], self.shown, **EAGER)
        controls.library.focus(self._listed, None, controls.library, **EAGER)
        listed = controls.library.input(
            self._opened, [controls.library, *self.place], self.every, **EAGER
        )
        named = [parts["cache_address"], parts["sweep_run"], *self.place]
        opened = parts["cache_address"].open(self._named, named, self.every, **EAGER)
        booted = blocks.load(self._booted, self.place, self.every, **EAGER)
        # Not on change, which a list that is shown again fires too, whatever it says.
        seen = [controls.parameters.seen, parts["cache_policies"], controls.parameters.groups]
        parts["cache_policies"].input(*seen, **EAGER)
        for found in (opened, booted, listed):
            found.then(*seen, **EAGER).then(self._cost, self.asked, parts["cache_cost"], **EAGER)

    def _costing(self, tab: gr.Tab) -> None:
        chosen = self.parts["cache_policies"]
        changes = [chosen.input, *(part.change for part in self.asked if part is not chosen)]
        gr.on([tab.select, *changes], self._cost, self.asked, self.parts["cache_cost"], **EAGER)
        sweep = list(self.sweep.controls.values())
        changes += [component.change for component in sweep]
        asked = [*sweep, *self.asked]
        gr.on([tab.select, *changes], self._sweep_cost, asked, self.parts["sweep_cost"], **EAGER)

    def _cost(self, request: gr.Request, *told: Any) -> str:
        return str(self.page.cost(self._read(told), request)["cache_cost"])

    def _sweep_cost(self, request: gr.Request, *told: Any) -> str:
        return str(self.tradeoff.cost(self._sweep_asked(told), request)["sweep_cost"])

    def _run(self, request: gr.Request, *told: Any) -> Iterator[Values]:
        place, asked = told[: len(self.place)], told[len(self.place) :]
        for found in self.page.run(self._read(asked), place, request):
            yield self._left(self._placed(found))

    def _swept(self, request: gr.Request, *told: Any) -> Iterator[Values]:
        for found in self.tradeoff.run(self._sweep_asked(told), request):
            yield self._left(self._placed(found))

    def _restyled(self, run_id: object, measure: object, request: gr.Request) -> Values:
        return self._left(self._placed(self.tradeoff.restyle(run_id, measure, request)))

    def _moved(self, run_id: object, request: gr.Request, *place: Any) -> Values:
        return self._left(self._placed(self.page.move(run_id, place, request)))

    def _opened(self, run_id: object, request: gr.Request, *place: Any) -> Values:
        return self._placed(self.page.open(run_id, place, request))

    def _named(
        self, asked: object, sweep_run: object, request: gr.Request, *place: Any
    ) -> Iterator[Values]:
        """Open what the address names, or the run of a point of the trade-off."""
        named = asked if isinstance(asked, dict) else {}
        if "point" in named:
            for found in self.tradeoff.point(sweep_run, named["point"], request):
                run = found if isinstance(found, dict) else self.page.open(found.id, place, request)
                yield self._placed(run)
            return
        found = self.page.open(named.get("run"), place, request) or self.page.first()
        yield self._placed(found | self.tradeoff.open(named.get("sweep"), request))

    def _booted(self, request: gr.Request, *place: Any) -> Values:
        named = dict(request.query_params)
        if named.get("tab") != "cache":
            return self._placed({})
        found = self.page.open(named.get("run"), place, request)
        return self._placed(found | self.tradeoff.open(named.get("sweep"), request))

    def _listed(self, request: gr.Request) -> gr.Dropdown:
        return gr.Dropdown(choices=self.page.stored(request))

    def _read(self, told: tuple[Any, ...]) -> Asked:
        model, prompt, policies, budget, unit, new_tokens, oracle = told[:7]
        parameters = self.controls.parameters.read(told[7:])
        return Asked(model, prompt, policies, parameters, budget, unit, new_tokens, oracle)

    def _sweep_asked(self, told: tuple[Any, ...]) -> dict[str, Any]:
        names = list(self.sweep.controls)
        asked = self._read(told[len(names) :])
        return {**dict(zip(names, told, strict=False)), "asked": asked}

    def _left(self, placed: Values) -> Values:
        """Return the values of what is shown: the controls say already what was asked."""
        return {part: value for part, value in placed.items() if part in self.shown}

    def _placed(self, found: Values) -> Values:
        found = dict(found) or {"cache_status": gr.skip()}
        parameters = found.pop("cache_parameters", None)
        placed = {self.parts[name]: value for name, value in found.items()}
        if parameters is not None:
            inputs = self.controls.parameters.inputs
            filled = self.controls.parameters.fill(parameters)
            placed |= dict(zip(inputs, filled, strict=True))
        return placed


_INTRODUCTION = (
    '<p class="tk-sub">A language model remembers a text as keys and values: its cache. A policy '
    "drops a part of it to save memory. Below, the same text under several policies: step through "
    "it, watch what each forgets, and what the model then writes.</p>"
)
