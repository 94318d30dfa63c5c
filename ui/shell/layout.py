"""Where everything stands on a page, and which event calls which handler; once for all pages."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.components.actions import actions
from tokenarium.ui.shell.controls import Controls, Offer
from tokenarium.ui.shell.events import EAGER, QUIET
from tokenarium.ui.shell.handlers import Asker, Handlers
from tokenarium.ui.shell.panel import Panel, Values, hidden
from tokenarium.ui.shell.section import MAIN, RunPage, Section
from tokenarium.ui.shell.selection import Selection, selection
from tokenarium.ui.shell.stored import run_picker, stored_runs
from tokenarium.ui.shell.visitor import visitor_of
from tokenarium.ui.text import escape

Told = Mapping[Any, Any]
"""What components say, by component."""


class Layout:
    """Build a page inside the current ``gr.Blocks``."""

    def __init__(self, page: RunPage, lab: Lab, blocks: gr.Blocks) -> None:
        self.page, self.lab, self.blocks = page, lab, blocks
        self.handlers = Handlers(page, lab)
        self.controls = Controls()
        self.parts: dict[str, Any] = {"selection": selection(None)}
        self.buttons: dict[str, tuple[gr.Button, gr.Button]] = {}
        self.settings: dict[str, Any] = {}
        self._introduction(page)
        self._run_bar()
        self._found(page)
        for section in list(page.sections.values())[1:]:
            gr.HTML(f"<h2>{escape(section.title)}</h2>")
            self._introduction(section)
            section.build(self.controls)
            self.parts[self._named(section, "cost")] = self._html(section, "cost")
            self.buttons[section.slug] = self._run_and_cancel(section, "sm")
            self._found(section)
        self._actions()
        self.parts |= self.controls.parts | self.controls.notes
        self._fill(self.handlers.first())
        self._events()

    # -- what stands where

    def _introduction(self, section: Section) -> None:
        if section.intro:
            gr.HTML(f'<p class="tk-sub">{escape(section.intro)}</p>')

    def _run_bar(self) -> None:
        page, controls, lab = self.page, self.controls, self.lab
        with gr.Row(elem_classes="tk-runbar"):
            with gr.Column(scale=5, min_width=300):
                text = gr.Textbox(
                    label=page.text_label,
                    lines=3,
                    max_lines=6,
                    placeholder=page.text_hint,
                    elem_id="text",
                )
                controls.add("text", text)
                self._chips()
            with gr.Column(scale=2, min_width=240):
                names = [info.name for info in lab.models()]
                model = gr.Dropdown(
                    names,
                    value=names[0],
                    label=page.model_label,
                    allow_custom_value=True,
                    info="Bundled, local, or a Hugging Face id.",
                    elem_id="model",
                )
                controls.add("model", model)
                page.under_model(controls)
                self.buttons[MAIN] = self._run_and_cancel(page, "lg")
                self.pill = gr.HTML("", elem_id="pill")
        page.build(controls)
        with gr.Accordion("Options and stored runs", open=False):
            page.options(controls)
            self.library = run_picker(lab, page.kinds[0].kind, "Open a stored run", "stored")
        if note := _mode_note(lab):
            gr.HTML(f'<p class="tk-sub">{escape(note)}</p>')
        self.parts["cost"] = self._html(page, "cost")

    def _chips(self) -> None:
        found = self.lab.examples(self.page.kinds[0].kind)
        self.chips = []
        if len(found) > 1:
            with gr.Row(elem_classes="tk-chips"):
                self.chips = [
                    (gr.Button(example.title, size="sm", variant="secondary"), example.run_id)
                    for example in found
                ]

    def _run_and_cancel(self, section: Section, size: Any) -> tuple[gr.Button, gr.Button]:
        with gr.Row():
            return (
                gr.Button(section.go, variant="primary", size=size, elem_id=_id(section, "run")),
                gr.Button("Cancel", size=size, elem_id=_id(section, "cancel")),
            )

    def _found(self, section: Section) -> None:
        """Make the places for status, sentence and panels."""
        for name in ("status", "sentence"):
            self.parts[self._named(section, name)] = self._html(section, name)
        main = section is self.page
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                for panel in section.shown:
                    self._panel(panel)
                if main and self.page.tabs:
                    with gr.Tabs(elem_id="views") as self.parts["views"]:
                        self.tabs = [self._tab(panel) for panel in self.page.tabs.values()]
                self.parts[self._named(section, "facts")] = self._html(section, "facts")
            if main and self.page.at_side:
                with gr.Column(scale=1, min_width=300):
                    for panel in self.page.at_side:
                        self._panel(panel)
        for name in ("drawn", "running"):
            self.parts[self._named(section, name)] = hidden()

    def _tab(self, panel: Panel) -> gr.Tab:
        tab: gr.Tab
        with gr.Tab(panel.title, id=panel.slug, elem_id=f"view-{panel.slug}") as tab:
            self._panel(panel)
        return tab

    def _panel(self, panel: Panel) -> None:
        panel.build()
        assert not self.parts.keys() & panel.parts.keys()
        assert not self.settings.keys() & panel.controls.keys()
        self.parts |= panel.parts
        self.settings |= panel.controls

    def _actions(self) -> None:
        files = {}
        for slug, section in self.page.sections.items():
            whole = "Download JSON" if slug == MAIN else f"{section.title} as JSON"
            files[f"{slug}/run.json"] = whole
            files |= {f"{slug}/{name}": file.title for name, file in section.files.items()}
        actions(self.handlers.export, files, self.page.arrows)

    def _html(self, section: Section, name: str) -> gr.HTML:
        return gr.HTML("", elem_id=_id(section, name))

    def _named(self, section: Section, name: str) -> str:
        return self.handlers.part(section, name)

    def _fill(self, first: Values) -> None:
        """Give the components the values that the page opens with."""
        for name, value in self._filled(first).items():
            component = self.parts[name]
            changes = value if _is_update(value) else {"value": value}
            for key, found in changes.items():
                if key != "__type__":
                    setattr(component, key, found)

    # -- events

    def _events(self) -> None:
        parts, handlers = self.parts, self.handlers
        self.asking = {parts["selection"], *self.controls.parts.values()}
        self.seeing = {
            parts["selection"],
            *self.settings.values(),
            *(parts[self._named(section, "drawn")] for section in self.page.sections.values()),
        }
        chosen = set(self.controls.parts.values())
        self.every = list(dict.fromkeys(parts.values()))
        # Controls that a run leaves alone are no outputs of it: each would tell of a change.
        self.results = [part for part in self.every if part not in chosen]
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
        self._costs(arriving)

    def _section(self, section: Section) -> None:
        go, stop = self.buttons[section.slug]
        running = self.parts[self._named(section, "running")]
        status = self.parts[self._named(section, "status")]

        def begin(told: Told, request: gr.Request) -> Iterator[Values]:
            asker, asked = self._asker(told, request), self._asked(told)
            yield from map(self._placed, self.handlers.run(section, asked, asker))

        def stopped(told: Told, request: gr.Request) -> Values:
            asker = self._asker(told, request)
            return self._placed(self.handlers.cancel(section, told[running], asker))

        ran = go.click(
            begin, self.asking | self.seeing, self.results, concurrency_limit=None, **QUIET
        )
        stop.click(stopped, {running, self.parts["selection"]}, status, queue=False, **QUIET)
        # A run teaches what such a run takes.
        ran.then(self._cost(section), self.asking, self._cost_of(section), **EAGER)

    def _panel_events(self, panel: Panel) -> None:
        shown = [self.parts["status"], *panel.parts.values()]

        def again(told: Told, request: gr.Request) -> Values:
            return self._placed(self.handlers.restyle(panel, self._asker(told, request)))

        if panel.redraws:
            gr.on(panel.redraws, again, self.seeing, shown, **EAGER)
        for picker, kind in panel.pickers:
            picker.focus(self._listed(kind), self.parts["selection"], picker, **EAGER)
        for action in panel.actions():

            def act(told: Told, request: gr.Request, action: Any = action) -> Iterator[Values]:
                found = self.handlers.act(panel, action, self._asker(told, request))
                yield from map(self._placed, found)

            outputs = self.every if action.fills else self.results
            gr.on(action.triggers, act, self.seeing, outputs, concurrency_limit=None, **QUIET)

    def _offers(self) -> None:
        """Let controls follow others, such as the parameters those that are chosen."""
        controls = self.controls
        for offer in controls.offers:

            def again(told: Told, offer: Offer = offer) -> Values:
                asked = {name: told[part] for name, part in controls.parts.items()}
                return {self.parts[name]: value for name, value in offer.make(asked).items()}

            outputs = [self.parts[name] for name in offer.changed]
            changes = [controls.parts[name].change for name in offer.on]
            gr.on(changes, again, set(controls.parts.values()), outputs, **EAGER)

    def _costs(self, arriving: Any) -> None:
        changes = [
            part.edit if name in self.controls.forms else part.change
            for name, part in self.controls.parts.items()
        ]
        for section in self.page.sections.values():
            cost, output = self._cost(section), self._cost_of(section)
            gr.on(changes, cost, self.asking, output, **EAGER)
            arriving.then(cost, self.asking, output, **EAGER)

    def _model_state(self) -> None:
        timer = gr.Timer(1.5, active=True)
        model = self.parts["model"]

        def state(name: object) -> tuple[str, gr.Timer]:
            shown, moving = self.handlers.state(name)
            return shown, gr.Timer(active=moving)

        def warm(name: object) -> tuple[str, gr.Timer]:
            shown, moving = self.handlers.warm(name)
            return shown, gr.Timer(active=moving)

        outputs = [self.pill, timer]
        timer.tick(state, model, outputs, **EAGER)
        model.change(warm, model, outputs, **EAGER)
        self.blocks.load(warm, model, outputs, **EAGER)

    # -- values by name

    def _cost(self, section: Section) -> Callable[..., str]:
        def estimated(told: Told, request: gr.Request) -> str:
            return self.handlers.cost(section, self._asked(told), self._asker(told, request))

        return estimated

    def _cost_of(self, section: Section) -> Any:
        return self.parts[self._named(section, "cost")]

    def _seen(self, handler: Callable[[Asker], Values]) -> Callable[..., Values]:
        def handle(told: Told, request: gr.Request) -> Values:
            return self._placed(handler(self._asker(told, request)))

        return handle

    def _zoom(self, told: Told, request: gr.Request) -> Values:
        asked = _entry(told[self.parts["selection"]], "zoom")
        return self._placed(self.handlers.zoom(asked, self._asker(told, request)))

    def _point(self, told: Told, request: gr.Request) -> Iterator[Values]:
        number = _entry(told[self.parts["selection"]], "point")
        yield from map(self._placed, self.handlers.point(number, self._asker(told, request)))

    def _boot(self, arrival: object, request: gr.Request, *values: object) -> Iterator[Values]:
        settings = dict(zip(self.settings, values, strict=True))
        asker = Asker(visitor_of(request, arrival), settings=settings)
        query = _entry(arrival, "query")
        query = query.removeprefix("?") if isinstance(query, str) else ""
        found = self.handlers.boot(query, _entry(arrival, "carried"), asker)
        yield from map(self._placed, found)

    def _listed(self, kind: str) -> Callable[..., gr.Dropdown]:
        def listed(told: object, request: gr.Request) -> gr.Dropdown:
            return gr.Dropdown(choices=stored_runs(self.lab, kind, visitor_of(request, told)))

        return listed

    def _asker(self, told: Told, request: gr.Request) -> Asker:
        said = told.get(self.parts["selection"])
        drawn = {
            slug: told.get(self.parts[self._named(section, "drawn")])
            for slug, section in self.page.sections.items()
        }
        settings = {name: told.get(part) for name, part in self.settings.items()}
        return Asker(visitor_of(request, said), Selection.read(said), drawn, settings)

    def _asked(self, told: Told) -> Values:
        return self.controls.read({name: told[part] for name, part in self.controls.parts.items()})

    def _filled(self, found: Values) -> Values:
        forms = self.controls.forms.keys() & found.keys()
        return self.controls.filled(found) if forms else found

    def _placed(self, found: Values) -> Values:
        # Gradio takes an empty dictionary for a missing value.
        found = self._filled(found) or {"status": gr.skip()}
        return {self.parts[name]: value for name, value in found.items()}


def _is_update(value: object) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


def _entry(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _id(section: Section, name: str) -> str:
    return name if section.slug == MAIN else f"{section.slug}-{name}"


def _mode_note(lab: Lab) -> str:
    settings = lab.settings
    if not settings.hosted:
        return lab.storage_note
    return (
        f"Public demo: texts up to {settings.token_limit:,} tokens and "
        f"{settings.hosted_max_seconds:.0f} s; your runs are listed to you only, open to whoever "
        f"has their link, and deleted after {settings.hosted_keep_hours:.0f} h. {lab.storage_note}"
    )
