"""The Explore page: one text, read once, seen token by token, head by head, layer by layer."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from tokenarium.backend import (
    Cancelled,
    Event,
    Finished,
    Lab,
    Partial,
    Run,
    TraceRequest,
    TraceResult,
    UserError,
)
from tokenarium.ui.components.options import read
from tokenarium.ui.components.selection import Chosen, Selection
from tokenarium.ui.components.sentence import facts_of, pill, status, told
from tokenarium.ui.pages.frame import frame, frame_changed
from tokenarium.ui.views.attention import Attention
from tokenarium.ui.views.registry import make_views
from tokenarium.ui.views.view import Action, Scene, Settings, Values, View
from tokenarium.ui.visitor import visitor_of

OPTIONS = [
    "add_bos",
    "chat_template",
    "overflow",
    "dtype",
    "top_k",
    "tiles",
    "logit_lens",
    "sink_threshold",
    "forgetting",
]
PARTIAL_EVERY_S = 3.0
"""A page that draws more often than this does not hear a click on Cancel in time."""


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows: which selection is drawn in which view, a partial result."""

    selection: Chosen
    view: str
    partial: TraceResult | None = None
    request: TraceRequest | None = None


class Explore:
    """Handlers of the page: each checks its inputs, asks the lab once, and draws.

    They return values by the name of the part; ``ui.pages.layout`` knows which component that is.
    ``settings`` is what the controls of all views say.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.views = make_views(lab)

    def first(self) -> Values:
        """Return the parts of the stored example, drawn before any visitor comes."""
        try:
            examples = self.lab.examples("trace")
            if not examples:
                raise UserError("no example run is shipped: make them with 'make examples'")
            run = self.lab.open(examples[0].run_id)
            return self._shown(run, Selection(run.id), {}, "", example=run.id)
        except UserError as error:
            return _said(error)

    def boot(self, settings: Settings, request: gr.Request) -> Values:
        """Open the run and the view that the address names, if it names any."""
        asked = dict(request.query_params)
        if "tab" in asked:
            return {}  # the address is another page's
        whole = {k: int(v) for k, v in asked.items() if v.isascii() and v.isdigit() and len(v) < 10}
        named = {name: asked.get(name) for name in ("run", "view")}
        return self._open(Selection.read({**whole, **named}), settings, request)

    def open(
        self, run_id: str | None, value: object, settings: Settings, request: gr.Request
    ) -> Values:
        """Show a stored run in the view that is open."""
        view = Selection.read(value).view
        return self._open(Selection(run_id, view=view), settings, request)

    def run(
        self,
        model: str,
        text: str,
        options: tuple[Any, ...],
        value: object,
        settings: Settings,
        request: gr.Request,
    ) -> Iterator[Values]:
        """Read a text, showing progress and what is known so far."""
        view = Selection.read(value).view
        try:
            wanted = self.lab.request(
                TraceRequest, model=model, text=text, **read(TraceRequest, OPTIONS, options)
            )
            drawn = time.monotonic()
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                if isinstance(event, Partial):
                    if time.monotonic() - drawn < PARTIAL_EVERY_S:
                        continue
                    drawn = time.monotonic()
                yield self._event(event, wanted, view, settings, visitor_of(request))
        except (UserError, Cancelled) as error:
            yield _said(error)

    def pick(
        self, value: object, shown: Shown | None, settings: Settings, request: gr.Request
    ) -> Values:
        """Draw what another selection or another view changes; another run is opened whole."""
        wanted = Selection.read(value)
        try:
            scene = self._scene(wanted, shown, settings, request)
        except UserError as error:
            return _said(error)
        if shown is None or shown.selection.run != wanted.run:
            return self._open(wanted, settings, request)
        view, before = self._view(wanted), shown.selection
        found = frame_changed(scene, before)
        if view.slug != shown.view:
            found |= {"views": gr.Tabs(selected=view.slug), **view.draw(scene)}
        elif any(getattr(before, use) != getattr(scene.chosen, use) for use in view.uses):
            found |= view.draw(replace(scene, before=before))
        return {**found, "shown": Shown(scene.chosen, view.slug, shown.partial, shown.request)}

    def restyle(
        self, value: object, shown: Shown | None, settings: Settings, request: gr.Request
    ) -> Values:
        """Draw the open view again as its controls say."""
        wanted = Selection.read(value)
        try:
            scene = self._scene(wanted, shown, settings, request)
        except UserError as error:
            return _said(error)
        return self._view(wanted).draw(scene)

    def zoom(
        self, value: object, shown: Shown | None, settings: Settings, request: gr.Request
    ) -> Values:
        """Draw a rectangle of the map in finer tiles."""
        asked = value.get("zoom") if isinstance(value, dict) else None
        wanted, view = Selection.read(value), self.views[Attention.slug]
        if wanted.run is None or not isinstance(asked, dict) or not isinstance(view, Attention):
            return {}
        try:
            scene = self._scene(wanted, shown, settings, request)
        except UserError as error:
            return _said(error)
        return view.zoom(scene, asked)

    def act(
        self,
        action: Action,
        value: object,
        shown: Shown | None,
        settings: Settings,
        request: gr.Request,
    ) -> Iterator[Values]:
        """Let a view ask the lab, showing progress."""
        try:
            wanted = Selection.read(value)
            yield from action.answer(self._scene(wanted, shown, settings, request))
        except (UserError, Cancelled) as error:
            yield _said(error)

    def actions(self) -> list[Action]:
        """Return everything in the views that asks the lab; their components must be made."""
        return [action for view in self.views.values() for action in view.actions()]

    def state(self, model: str) -> tuple[str, bool]:
        """Return the model's state as HTML and whether it still changes."""
        try:
            info = self.lab.state(model)
        except UserError as error:
            return status(str(error), "error"), False
        return pill(info), info.state in ("cold", "loading")

    def warm(self, model: str) -> tuple[str, bool]:
        """Begin to load a model and return its state."""
        try:
            self.lab.warm(model)
        except UserError as error:
            return status(str(error), "error"), False
        return self.state(model)

    def _event(
        self, event: Event, wanted: TraceRequest, view: str | None, settings: Settings, visitor: str
    ) -> Values:
        if isinstance(event, Finished):
            return self._shown(event.run, Selection(event.run.id, view=view), settings, visitor)
        if not isinstance(event, Partial):
            return {"status": told(event)}
        partial = event.result
        assert isinstance(partial, TraceResult)
        first = Selection(view=view)
        scene = Scene(partial, wanted, first.within(partial), settings, visitor)
        open_view = self._view(first)
        return {
            **frame(scene, partial=True, view=open_view.slug),
            **open_view.draw(scene),
            "facts": "",
            "shown": Shown(scene.chosen, open_view.slug, partial, wanted),
        }

    def _shown(
        self, run: Run, wanted: Selection, settings: Settings, visitor: str, **more: Any
    ) -> Values:
        result, request = trace_of(run)
        scene = Scene(result, request, wanted.within(result), settings, visitor)
        trouble = run.environment.get("storage")
        view = self._view(wanted)
        return {
            **frame(scene, view=view.slug, **more),
            **view.draw(scene),
            "facts": facts_of(run),
            "status": status(str(trouble), "error") if trouble else "",
            "shown": Shown(scene.chosen, view.slug),
            "model": request.model,
            "text": request.text,
        }

    def _open(self, wanted: Selection, settings: Settings, request: gr.Request) -> Values:
        view = {"views": gr.Tabs(selected=wanted.view)} if wanted.view in self.views else {}
        if wanted.run is None:
            return view
        visitor = visitor_of(request)
        try:
            run = self.lab.open(wanted.run, visitor=visitor)
            return {**view, **self._shown(run, wanted, settings, visitor)}
        except UserError as error:
            return _said(error)

    def _scene(
        self, wanted: Selection, shown: Shown | None, settings: Settings, request: gr.Request
    ) -> Scene:
        visitor = visitor_of(request)
        if wanted.run is not None:
            result, asked = trace_of(self.lab.open(wanted.run, visitor=visitor))
        elif shown is None or shown.partial is None or shown.request is None:
            raise UserError("no run is shown: press Run first")
        else:
            result, asked = shown.partial, shown.request
        return Scene(result, asked, wanted.within(result), settings, visitor)

    def _view(self, wanted: Selection) -> View:
        return self.views.get(wanted.view or "", next(iter(self.views.values())))


def trace_of(run: Run) -> tuple[TraceResult, TraceRequest]:
    """Return result and request of a run that must be a trace.

    Raises:
        UserError: if it is of another kind.
    """
    if not isinstance(run.result, TraceResult) or not isinstance(run.request, TraceRequest):
        raise UserError(f"run={run.id} is a {run.request.kind}, not a trace: open a trace here")
    return run.result, run.request


def _said(error: Exception) -> Values:
    return {"status": status(str(error), "error")}
