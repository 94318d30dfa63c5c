"""The Explore page: one text, read once, seen token by token, head by head, layer by layer."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend import (
    Cancelled,
    Event,
    Finished,
    Lab,
    Partial,
    Progress,
    Queued,
    RegionRequest,
    RegionResult,
    Run,
    TextRequest,
    TraceRequest,
    TraceResult,
    UserError,
)
from ui.components.options import read
from ui.components.selection import Chosen, Selection
from ui.components.sentence import facts_of, pill, status
from ui.figures.attention import attention_map, region_map
from ui.figures.heads import head_grid
from ui.pages import views
from ui.pages.views import Look
from ui.visitor import visitor_of

OPTIONS = [
    "add_bos",
    "chat_template",
    "overflow",
    "dtype",
    "top_k",
    "tiles",
    "logit_lens",
    "sink_threshold",
]
ZOOM_TILES = 128
PARTIAL_EVERY_S = 3.0
"""A page that draws more often than this does not hear a click on Cancel in time."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows: which selection is drawn, and a partial result if any."""

    selection: Chosen
    partial: TraceResult | None = None
    request: TraceRequest | None = None


class Explore:
    """Handlers of the page: each checks its inputs, asks the lab once, and draws.

    They return values by the name of the view; ``ui.pages.layout`` knows which component that is.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def first(self) -> Values:
        """Return the views of the stored example, drawn before any visitor comes."""
        try:
            run = self.lab.example()
            return self._shown(run, Selection(run.id), Look(), example=run.id)
        except UserError as error:
            return _told(error)

    def boot(self, look: Look, request: gr.Request) -> Values:
        """Open the run that the address names, if it names one."""
        told = dict(request.query_params)
        whole = {k: int(v) for k, v in told.items() if v.isascii() and v.isdigit() and len(v) < 10}
        return self._open(Selection.read({**whole, "run": told.get("run")}), look, request)

    def open(self, run_id: str | None, look: Look, request: gr.Request) -> Values:
        """Show a stored run."""
        return self._open(Selection(run_id), look, request)

    def run(
        self, model: str, text: str, options: tuple[Any, ...], look: Look, request: gr.Request
    ) -> Iterator[Values]:
        """Read a text, showing progress and what is known so far."""
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
                yield self._event(event, wanted, look)
        except (UserError, Cancelled) as error:
            yield _told(error)

    def pick(self, value: object, shown: Shown | None, look: Look, request: gr.Request) -> Values:
        """Draw what another selection changes; another run is opened whole."""
        wanted = Selection.read(value)
        try:
            result, asked = self._source(wanted, shown, request)
        except UserError as error:
            return _told(error)
        if shown is None or shown.selection.run != wanted.run:
            return self._open(wanted, look, request)
        now = wanted.within(result)
        found = views.changed(result, asked, shown.selection, now, look)
        return {**found, "shown": Shown(now, shown.partial, shown.request)}

    def restyle(
        self, value: object, shown: Shown | None, look: Look, request: gr.Request
    ) -> Values:
        """Draw grid and map again with another metric or pooling."""
        wanted = Selection.read(value)
        try:
            result, asked = self._source(wanted, shown, request)
        except UserError as error:
            return _told(error)
        now = wanted.within(result)
        mark = views.credit(result, asked, now)
        return {
            "grid": views.drawn(head_grid(result, look.grid_metric), mark),
            "map": views.drawn(attention_map(result, now.layer, now.head, look.pooling), mark),
        }

    def zoom(self, value: object, shown: Shown | None, look: Look, request: gr.Request) -> Values:
        """Draw a rectangle of the map in finer tiles, computed by reading the text again."""
        wanted = Selection.read(value)
        asked = value.get("zoom") if isinstance(value, dict) else None
        if wanted.run is None or not isinstance(asked, dict):
            return {}
        try:
            result, base = self._source(wanted, shown, request)
            now = wanted.within(result)
            mark = views.credit(result, base, now)
            if asked.get("reset"):
                whole = attention_map(result, now.layer, now.head, look.pooling)
                return {"map": views.drawn(whole, mark)}
            if result.length <= result.attention_tiles_mean.shape[-1]:
                return {}
            question = self._region(base, now, asked, result.length)
            region = self.lab.run(question, visitor=visitor_of(request)).result
        except (UserError, Cancelled) as error:
            return _told(error)
        assert isinstance(region, RegionResult)
        figure = region_map(region, result, now.layer, now.head, look.pooling)
        return {"map": views.drawn(figure, mark)}

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

    def stored(self, request: gr.Request) -> list[tuple[str, str]]:
        """Return label and id of the newest runs this visitor may list."""
        found = self.lab.search(visitor=visitor_of(request), kind="trace", limit=30)
        return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]

    def _event(self, event: Event, wanted: TraceRequest, look: Look) -> Values:
        if isinstance(event, Queued):
            text = f"Waiting: place {event.place} in the queue for this model."
            return {"status": status(text, "busy")}
        if isinstance(event, Progress):
            share = event.done / max(1, event.total)
            text = f"{event.doing} · {event.done} of {event.total}"
            return {"status": status(text, "busy", share)}
        if isinstance(event, Partial):
            partial = event.result
            assert isinstance(partial, TraceResult)
            first = Selection().within(partial)
            found = views.everything(partial, wanted, first, look, partial=True)
            return {**found, "facts": "", "shown": Shown(first, partial, wanted)}
        assert isinstance(event, Finished)
        return self._shown(event.run, Selection(event.run.id), look)

    def _shown(self, run: Run, wanted: Selection, look: Look, **more: Any) -> Values:
        result, request = _trace(run)
        chosen = wanted.within(result)
        trouble = run.environment.get("storage")
        return {
            **views.everything(result, request, chosen, look, **more),
            "facts": facts_of(run),
            "status": status(str(trouble), "error") if trouble else "",
            "shown": Shown(chosen),
            "model": request.model,
            "text": request.text,
        }

    def _open(self, wanted: Selection, look: Look, request: gr.Request) -> Values:
        if wanted.run is None:
            return {}
        try:
            run = self.lab.open(wanted.run, visitor=visitor_of(request))
            return self._shown(run, wanted, look)
        except UserError as error:
            return _told(error)

    def _source(
        self, wanted: Selection, shown: Shown | None, request: gr.Request
    ) -> tuple[TraceResult, TraceRequest]:
        if wanted.run is not None:
            return _trace(self.lab.open(wanted.run, visitor=visitor_of(request)))
        if shown is None or shown.partial is None or shown.request is None:
            raise UserError("no run is shown: press Run first")
        return shown.partial, shown.request

    def _region(
        self, base: TraceRequest, now: Chosen, asked: dict[str, Any], length: int
    ) -> RegionRequest:
        queries, keys = (_span(asked.get(name), length) for name in ("queries", "keys"))
        return self.lab.request(
            RegionRequest,
            **{name: getattr(base, name) for name in TextRequest.model_fields},
            layer=now.layer,
            head=now.head,
            query_start=queries[0],
            query_stop=queries[1],
            key_start=keys[0],
            key_stop=keys[1],
            tiles=ZOOM_TILES,
        )


def _trace(run: Run) -> tuple[TraceResult, TraceRequest]:
    if not isinstance(run.result, TraceResult) or not isinstance(run.request, TraceRequest):
        raise UserError(f"run={run.id} is a {run.request.kind}, not a trace: open a trace here")
    return run.result, run.request


def _span(told: object, length: int) -> tuple[int, int]:
    if not isinstance(told, list) or len(told) != 2:
        return 0, length
    start, stop = (int(v) if isinstance(v, int | float) and math.isfinite(v) else 0 for v in told)
    start = max(0, min(start, length - 1))
    return start, max(start + 1, min(stop, length))


def _told(error: Exception) -> Values:
    return {"status": status(str(error), "error")}
