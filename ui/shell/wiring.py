"""Which event of a page calls which handler, every value by its name; the same on every page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.components.sentence import status
from tokenarium.ui.shell.controls import Offer
from tokenarium.ui.shell.drawing import Asker
from tokenarium.ui.shell.embedding import ONLY_SHOWN, embedded
from tokenarium.ui.shell.events import EAGER, QUIET, Signal
from tokenarium.ui.shell.layout import BEGINS, Layout
from tokenarium.ui.shell.panel import Panel, Values
from tokenarium.ui.shell.section import MAIN, RunPage, Section
from tokenarium.ui.shell.selection import Selection
from tokenarium.ui.shell.stored import stored_runs
from tokenarium.ui.shell.visitor import visitor_of

Told = Mapping[Any, Any]
"""What components say, by component."""


class Wiring(Layout):
    """Build a page inside the current ``gr.Blocks`` and connect its events."""

    def __init__(self, page: RunPage, lab: Lab, blocks: gr.Blocks) -> None:
        super().__init__(page, lab)
        self.blocks = blocks
        self.wire()

    def wire(self) -> None:
        """Connect every event of the page."""
        parts, handlers = self.parts, self.handlers
        self.asking = {parts["selection"], *self.controls.parts.values()}
        self.seeing = {
            parts["selection"],
            *self.settings.values(),
            *(parts[self._named(section, "drawn")] for section in self.page.sections.values()),
        }
        chosen = set(self.controls.parts.values())
        self.every = list(dict.fromkeys(parts.values()))
        # Controls that a run leaves alone are no outputs of it: each would report a change.
        self.results = [part for part in self.every if part not in chosen]
        self.anew = Signal()
        told = parts["selection"]
        # Past the queue: a click shall not wait for its turn, and the queue costs 50 ms more.
        told.pick(self._seen(handlers.pick), self.seeing, self.every, queue=False, **EAGER)
        told.zoom(self._zoom, self.seeing, self.results, concurrency_id="model", **QUIET)
        told.point(self._point, self.seeing, self.results, concurrency_limit=None, **QUIET)
        for section in self.page.sections.values():
            self._section(section)
        for panel in self.page.every_panel():
            self._panel_events(panel)
        for slug, tab in zip(self.page.tabs, getattr(self, "tabs", ()), strict=False):
            # The browser's selection knows which view is open, so the address and Back do too.
            tab.select(None, js=f"() => window.tokenarium.viewed('{slug}')", **QUIET)
        for chip, run_id in self.chips:
            chip.click(None, js=f"() => window.tokenarium.open('{MAIN}', '{run_id}')", **QUIET)
        opened = f"run => window.tokenarium.open('{MAIN}', run)"
        self.library.input(None, self.library, js=opened, **QUIET)
        self.library.focus(self._listed(self.page.kinds[0].kind), told, self.library, **EAGER)
        self._offers()
        self._model_state()
        arriving = self.blocks.load(
            self._boot,
            [told, *self.settings.values()],
            self.every,
            js="(_, ...settings) => [window.tokenarium.arrival(), ...settings]",
            **EAGER,
        )
        # Also where nothing could be opened.
        arriving.then(None, js="() => window.tokenarium.pressed.arrived()", **QUIET)
        self._costs(arriving)

    def _section(self, section: Section) -> None:
        go, stop = self.buttons[section.slug]
        running = self.parts[self._named(section, "running")]
        status = self.parts[self._named(section, "status")]

        def begin(told: Told, request: gr.Request) -> Iterator[Values]:
            if embedded(request):
                yield self._only_shown(section)
                return
            asker, asked = self._asker(told, request), self._asked(told)
            yield from map(self._placed, self.handlers.run(section, asked, asker))

        def stopped(told: Told, request: gr.Request) -> Values:
            asker = self._asker(told, request)
            return self._placed(self.handlers.cancel(section, told[running], asker))

        ran = go.click(
            begin, self.asking | self.seeing, self.results, concurrency_limit=None, **QUIET
        )
        stop.click(stopped, {running, self.parts["selection"]}, status, queue=False, **QUIET)
        self._over(ran, go)
        # A run teaches what such a run takes.
        self.anew.raised_after(ran)

    def _panel_events(self, panel: Panel) -> None:
        shown = [self.parts["status"], *panel.parts.values()]

        def again(told: Told, request: gr.Request) -> Values:
            return self._placed(self.handlers.restyle(panel, self._asker(told, request)), shown)

        if panel.redraws:
            gr.on(panel.redraws, again, self.seeing, shown, **EAGER)
        for picker, kind in panel.pickers:
            picker.focus(self._listed(kind), self.parts["selection"], picker, **EAGER)
        for action in panel.actions():
            outputs = self.every if action.fills else self.results

            def act(
                told: Told, request: gr.Request, action: Any = action, to: list[Any] = outputs
            ) -> Iterator[Values]:
                if embedded(request):
                    yield self._only_shown(self.page)
                    return
                found = self.handlers.act(panel, action, self._asker(told, request))
                yield from (self._placed(each, to) for each in found)

            acted = gr.on(
                action.triggers, act, self.seeing, outputs, concurrency_limit=None, **QUIET
            )
            for trigger in action.triggers:
                if isinstance(trigger.__self__, gr.Button):
                    self._over(acted, trigger.__self__)

    @staticmethod
    def _over(event: Any, button: gr.Button) -> None:
        """Let the browser hear when what a button began is over, whether or not it went well."""
        if BEGINS not in button.elem_classes:
            button.elem_classes = [*button.elem_classes, BEGINS]
        assert button.elem_id
        event.then(None, js=f"() => window.tokenarium.pressed.over('{button.elem_id}')", **QUIET)

    def _offers(self) -> None:
        """Let controls follow others, such as the parameters those that are chosen."""
        controls = self.controls
        for offer in controls.offers:

            def again(told: Told, offer: Offer = offer) -> Values:
                asked = {name: told[part] for name, part in controls.parts.items()}
                return {self.parts[name]: value for name, value in offer.make(asked).items()}

            outputs = [self.parts[name] for name in offer.changed]
            signal = Signal()
            signal.raised_by([controls.parts[name].change for name in offer.on])
            signal.heard(again, set(controls.parts.values()), outputs)

    def _costs(self, arriving: Any) -> None:
        """Say what the runs of all sections take, whenever something may have changed it."""
        self.anew.raised_by(
            [
                part.edit if hasattr(part, "edit") else part.change
                for part in self.controls.parts.values()
            ]
        )
        self.anew.raised_after(arriving)
        outputs = {each: self._cost_of(each) for each in self.page.sections.values()}

        def estimated(told: Told, request: gr.Request) -> dict[Any, str]:
            asked, asker = self._asked(told), self._asker(told, request)
            return {out: self.handlers.cost(each, asked, asker) for each, out in outputs.items()}

        # One event for all causes: the answers of two could come in the wrong order.
        self.anew.heard(estimated, self.asking, [*outputs.values()])

    def _model_state(self) -> None:
        timer = gr.Timer(1.5, active=True)
        model = self.parts["model"]

        def state(name: object) -> tuple[str, gr.Timer, Any]:
            shown, moving = self.handlers.state(name)
            other = self.handlers.instead(name)
            return shown, gr.Timer(active=moving), other or gr.skip()

        def warm(name: object, request: gr.Request) -> tuple[str, gr.Timer]:
            begun = self.handlers.state if embedded(request) else self.handlers.warm
            shown, moving = begun(name)
            return shown, gr.Timer(active=moving)

        outputs = [self.pill, timer]
        ticked = timer.tick(state, model, [*outputs, model], **EAGER)
        self.anew.raised_after(ticked)  # what a run takes is known once it is here
        chosen = Signal()
        chosen.raised_by([model.change])
        chosen.heard(warm, model, outputs)
        self.blocks.load(warm, model, outputs, **EAGER)

    def _only_shown(self, section: Section) -> Values:
        """Return what an embed answers where something would be computed."""
        return self._placed({self._named(section, "status"): status(ONLY_SHOWN, "error")})

    def _cost_of(self, section: Section) -> Any:
        return self.parts[self._named(section, "cost")]

    def _seen(self, handler: Callable[[Asker], Values]) -> Callable[..., Values]:
        def handle(told: Told, request: gr.Request) -> Values:
            return self._placed(handler(self._asker(told, request)))

        return handle

    def _zoom(self, told: Told, request: gr.Request) -> Values:
        if embedded(request):
            return self._only_shown(self.page)
        asked = _entry(told[self.parts["selection"]], "zoom")
        return self._placed(self.handlers.zoom(asked, self._asker(told, request)))

    def _point(self, told: Told, request: gr.Request) -> Iterator[Values]:
        if embedded(request):
            yield self._only_shown(self.page)
            return
        number = _entry(told[self.parts["selection"]], "point")
        yield from map(self._placed, self.handlers.point(number, self._asker(told, request)))

    def _boot(self, arrival: object, request: gr.Request, *values: object) -> Iterator[Values]:
        settings = dict(zip(self.settings, values, strict=True))
        asker = Asker(visitor_of(self.lab, request, arrival), settings=settings)
        query = _entry(arrival, "query")
        query = query.removeprefix("?") if isinstance(query, str) else ""
        carried = _entry(arrival, "carried")
        found = self.handlers.boot(query, carried, asker, computes=not embedded(request))
        yield from map(self._placed, found)

    def _listed(self, kind: str) -> Callable[..., gr.Dropdown]:
        def listed(told: object, request: gr.Request) -> gr.Dropdown:
            return gr.Dropdown(
                choices=stored_runs(self.lab, kind, visitor_of(self.lab, request, told))
            )

        return listed

    def _asker(self, told: Told, request: gr.Request) -> Asker:
        said = told.get(self.parts["selection"])
        drawn = {
            slug: told.get(self.parts[self._named(section, "drawn")])
            for slug, section in self.page.sections.items()
        }
        settings = {name: told.get(part) for name, part in self.settings.items()}
        return Asker(visitor_of(self.lab, request, said), Selection.read(said), drawn, settings)

    def _asked(self, told: Told) -> Values:
        return self.controls.read({name: told[part] for name, part in self.controls.parts.items()})

    def _placed(self, found: Values, outputs: Sequence[Any] = ()) -> Values:
        """Return values by component, of those that an event may change; none is all."""
        placed = {self.parts[name]: value for name, value in self._filled(found).items()}
        if outputs:
            placed = {part: value for part, value in placed.items() if part in outputs}
        # Gradio takes an empty dictionary for a missing value.
        return placed or {self.parts["status"]: gr.skip()}


def _entry(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
