"""Where everything stands on the page, and which event calls which handler."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from tokenarium.backend import Lab, TraceRequest
from tokenarium.ui.components.actions import actions
from tokenarium.ui.components.options import controls
from tokenarium.ui.components.runs import run_picker
from tokenarium.ui.components.selection import Selection, selection
from tokenarium.ui.components.sentence import status
from tokenarium.ui.components.strip import strip
from tokenarium.ui.pages.explore import OPTIONS, Explore, Shown
from tokenarium.ui.text import escape
from tokenarium.ui.views.view import Action, Settings, Values, View

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
EAGER: dict[str, Any] = {**QUIET, "concurrency_limit": None, "trigger_mode": "always_last"}


class Layout:
    """Build the Explore page inside the current ``gr.Blocks``."""

    def __init__(self, lab: Lab, blocks: gr.Blocks) -> None:
        self.lab, self.blocks, self.explore = lab, blocks, Explore(lab)
        self.parts: dict[str, Any] = {}
        self.controls: dict[str, Any] = {}
        first = self.explore.first()
        self._run_bar(first)
        self._views(first)
        self._events()

    def _run_bar(self, first: Values) -> None:
        parts, lab = self.parts, self.lab
        with gr.Row(elem_classes="tk-runbar"):
            with gr.Column(scale=5, min_width=300):
                parts["text"] = gr.Textbox(
                    first.get("text", ""),
                    label="Text",
                    lines=3,
                    max_lines=6,
                    placeholder="Type or paste a text, then press Run.",
                    elem_id="text",
                )
                with gr.Row(elem_classes="tk-chips"):
                    self.chips = [
                        (gr.Button(example.title, size="sm", variant="secondary"), example.run_id)
                        for example in lab.examples("trace")
                    ]
            with gr.Column(scale=2, min_width=240):
                names = [info.name for info in lab.models()]
                parts["model"] = gr.Dropdown(
                    names,
                    value=first.get("model", names[0]),
                    label="Model",
                    allow_custom_value=True,
                    info="Bundled, local, or a Hugging Face id.",
                    elem_id="model",
                )
                with gr.Row():
                    self.go = gr.Button("Run", variant="primary", elem_id="run")
                    self.stop = gr.Button("Cancel", elem_id="cancel")
                self.pill = gr.HTML("", elem_id="pill")
        with gr.Accordion("Options and stored runs", open=False):
            with gr.Row(elem_classes="tk-options"):
                self.options = controls(TraceRequest, OPTIONS)
            self.library = run_picker(lab, "Open a stored run", "stored")
        note = _mode_note(lab)
        if note:
            gr.HTML(f'<p class="tk-sub">{escape(note)}</p>')
        parts["status"] = gr.HTML(first.get("status", ""), elem_id="status")

    def _views(self, first: Values) -> None:
        parts = self.parts
        parts["sentence"] = gr.HTML(first.get("sentence", ""), elem_id="sentence")
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                parts["strip"] = strip(first.get("strip"))
                with gr.Tabs(elem_id="views") as parts["views"]:
                    self.tabs = [self._view(view, first) for view in self.explore.views.values()]
                actions(self.export_run)
                parts["facts"] = gr.HTML(first.get("facts", ""), elem_id="facts")
            with gr.Column(scale=1, min_width=300):
                parts["card"] = gr.HTML(first.get("card", ""), elem_id="card")
        parts["selection"] = selection(first.get("selection"))
        parts["shown"] = gr.State(first.get("shown"))

    def _view(self, view: View, first: Values) -> gr.Tab:
        tab: gr.Tab
        with gr.Tab(view.title, id=view.slug, elem_id=f"view-{view.slug}") as tab:
            view.build(first)
        assert not self.parts.keys() & view.parts.keys()
        assert not self.controls.keys() & view.controls.keys()
        self.parts |= view.parts
        self.controls |= view.controls
        return tab

    def _events(self) -> None:
        parts, explore, settings = self.parts, self.explore, list(self.controls.values())
        every = list(parts.values())
        seen = [parts["selection"], parts["shown"], *settings]
        # Past the queue: a click shall not wait for its turn, and the queue costs 50 ms more.
        parts["selection"].pick(self._selected(explore.pick), seen, every, queue=False, **EAGER)
        parts["selection"].zoom(
            self._selected(explore.zoom), seen, every, concurrency_id="model", **QUIET
        )
        for view, tab in zip(explore.views.values(), self.tabs, strict=True):
            # The browser's selection knows which view is open, so the address and Back do too.
            tab.select(None, js=f"() => window.tokenarium.select({{view: '{view.slug}'}})", **QUIET)
            shown = list(view.parts.values())
            if view.redraws:
                again = self._selected(explore.restyle)
                gr.on(view.redraws, again, seen, [parts["status"], *shown], **EAGER)
        running = gr.on(
            [self.go.click],
            self._run,
            [parts["model"], parts["text"], parts["selection"], *settings, *self.options],
            every,
            concurrency_limit=None,
            **QUIET,
        )
        acting = [self._action(action, seen, every) for action in explore.actions()]
        told = parts["status"]
        # Said after the run is stopped: its last words would otherwise stand over it.
        stopped = self.stop.click(None, cancels=[running, *acting], queue=False, **QUIET)
        known = [told, parts["selection"], parts["shown"]]
        stopped.then(_stopped, known, told, queue=False, **QUIET)
        opening = [parts["selection"], *settings]
        for chip, run_id in self.chips:
            chip.click(self._opener(run_id), opening, every, **EAGER)
        self.library.input(self._opened, [self.library, *opening], every, **EAGER)
        self.blocks.load(self._booted, settings, every, **EAGER)
        self._model_state()

    def _action(self, action: Action, seen: list[Any], every: list[Any]) -> Any:
        def handle(
            value: object, shown: Shown | None, request: gr.Request, *settings: Any
        ) -> Iterator[Values]:
            for found in self.explore.act(action, value, shown, self._settings(settings), request):
                yield self._placed(found)

        return gr.on(action.triggers, handle, seen, every, concurrency_limit=None, **QUIET)

    def _model_state(self) -> None:
        timer = gr.Timer(1.5, active=True)
        model = self.parts["model"]

        def state(name: str) -> tuple[str, gr.Timer]:
            shown, moving = self.explore.state(name)
            return shown, gr.Timer(active=moving)

        def warm(name: str) -> tuple[str, gr.Timer]:
            shown, moving = self.explore.warm(name)
            return shown, gr.Timer(active=moving)

        outputs = [self.pill, timer]
        timer.tick(state, model, outputs, **EAGER)
        model.change(warm, model, outputs, **EAGER)
        self.blocks.load(warm, model, outputs, **EAGER)

    def _selected(self, handler: Callable[..., Values]) -> Callable[..., Values]:
        def handle(
            value: object, shown: Shown | None, request: gr.Request, *settings: Any
        ) -> Values:
            return self._placed(handler(value, shown, self._settings(settings), request))

        return handle

    def _run(
        self, model: str, text: str, value: object, request: gr.Request, *told: Any
    ) -> Iterator[Values]:
        settings, options = told[: len(self.controls)], told[len(self.controls) :]
        steps = self.explore.run(model, text, options, value, self._settings(settings), request)
        for found in steps:
            yield self._placed(found)

    def _opener(self, run_id: str) -> Callable[..., Values]:
        def handle(value: object, request: gr.Request, *settings: Any) -> Values:
            found = self.explore.open(run_id, value, self._settings(settings), request)
            return self._placed(found)

        return handle

    def _opened(self, run_id: str, value: object, request: gr.Request, *settings: Any) -> Values:
        return self._placed(self.explore.open(run_id, value, self._settings(settings), request))

    def _booted(self, request: gr.Request, *settings: Any) -> Values:
        return self._placed(self.explore.boot(self._settings(settings), request))

    def _settings(self, values: tuple[Any, ...]) -> Settings:
        return dict(zip(self.controls, values, strict=True))

    def _placed(self, found: Values) -> Values:
        # Gradio takes an empty dictionary for a missing value.
        found = found or {"status": gr.skip()}
        return {self.parts[name]: value for name, value in found.items()}

    def export_run(self, run_id: str) -> str:
        """Return a stored run as the text of a JSON file."""
        return self.lab.export(str(run_id))


def _stopped(told: str, value: object, shown: Shown | None) -> Any:
    """Say that the run was stopped, unless it came to its end before the browser knew."""
    if "tk-busy" not in str(told):
        return status("Nothing is running now.", "info")
    if shown is not None and shown.partial is None:
        seen = Selection.read(value).run
        if shown.selection.run != seen:
            return gr.skip()
    return status("Cancelled. What was shown stays, marked partial; nothing was stored.", "info")


def _mode_note(lab: Lab) -> str:
    settings = lab.settings
    if not settings.hosted:
        return lab.storage_note
    return (
        f"Public demo: texts up to {settings.token_limit:,} tokens and "
        f"{settings.hosted_max_seconds:.0f} s; your runs are listed to you only, open to whoever "
        f"has their link, and deleted after {settings.hosted_keep_hours:.0f} h. {lab.storage_note}"
    )
