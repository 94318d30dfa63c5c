"""The Explore page: one text, read once, seen token by token, head by head, layer by layer."""

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
    Run,
    TraceRequest,
    TraceResult,
    UserError,
)
from ui.components.options import read
from ui.components.selection import Selection
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

Values = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What one visitor's page shows: which selection is drawn, and a partial result if any."""

    selection: Selection
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
        except UserError as error:
            return {"status": status(str(error), "error")}
        return self._run(run, Selection(run.id), Look(), example=run.id)

    def boot(self, look: Look, request: gr.Request) -> Values:
        """Open the run that the address names, if it names one."""
        told = dict(request.query_params)
        numbers = {
            k: int(v) for k, v in told.items() if v.isascii() and v.isdigit() and len(v) < 10
        }
        chosen = Selection.read({**numbers, "run": told.get("run")})
        return self._open(chosen, look, request) if chosen.run else {}

    def open(self, run_id: str | None, look: Look, request: gr.Request) -> Values:
        """Show a stored run."""
        return self._open(Selection(run_id), look, request) if run_id else {}

    def run(
        self, model: str, text: str, options: tuple[Any, ...], look: Look, request: gr.Request
    ) -> Iterator[Values]:
        """Read a text, showing progress and what is known so far."""
        try:
            wanted = self.lab.request(
                TraceRequest, model=model, text=text, **read(TraceRequest, OPTIONS, options)
            )
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                yield self._event(event, wanted, look)
        except UserError as error:
            yield {"status": status(str(error), "error")}
        except Cancelled as stopped:
            yield {"status": status(f"Stopped: {stopped}. Nothing was stored.", "error")}

    def pick(self, value: object, shown: Shown | None, look: Look, request: gr.Request) -> Values:
        """Draw what another selection changes; another run is opened whole."""
        wanted = Selection.read(value)
        try:
            result, asked = self._source(wanted, shown, request)
        except UserError as error:
            return {"status": status(str(error), "error")}
        now = wanted.within(result)
        if shown is None or shown.selection.run != now.run:
            return self._open(now, look, request)
        found = views.changed(result, asked, shown.selection, now, look)
        return {**found, "shown": Shown(now, shown.partial, shown.request)}

    def restyle(
        self, value: object, shown: Shown | None, look: Look, request: gr.Request
    ) -> Values:
        """Draw grid and map again with another metric or pooling."""
        try:
            result, asked = self._source(Selection.read(value), shown, request)
        except UserError as error:
            return {"status": status(str(error), "error")}
        now = Selection.read(value).within(result)
        mark = views.credit(result, asked, now)
        return {
            "grid": views.drawn(head_grid(result, look.grid_metric), mark),
            "map": views.drawn(attention_map(result, now.layer, now.head, look.pooling), mark),
        }

    def zoom(self, value: object, shown: Shown | None, look: Look, request: gr.Request) -> Values:
        """Draw a rectangle of the map in finer tiles, computed by reading the text again."""
        now = Selection.read(value)
        asked = value.get("zoom") if isinstance(value, dict) else None
        try:
            result, base = self._source(now, shown, request)
            if now.run is None or not isinstance(asked, dict):
                return {}
            now = now.within(result)
            whole = attention_map(result, now.layer, now.head, look.pooling)
            if asked.get("reset"):
                return {"map": views.drawn(whole, views.credit(result, base, now))}
            if result.length <= result.attention_tiles_mean.shape[-1]:
                return {}
            wanted = self._region(base, now, asked, result.length)
            run = self.lab.run(wanted, visitor=visitor_of(request))
        except UserError as error:
            return {"status": status(str(error), "error")}
        except Cancelled as stopped:
            return {"status": status(f"Zoom stopped: {stopped}.", "error")}
        figure = region_map(run.result, result, now.layer, now.head, look.pooling)
        return {"map": views.drawn(figure, views.credit(result, base, now))}

    def state(self, model: str) -> tuple[str, bool]:
        """Return the model's state as HTML and whether it still changes."""
        try:
            info = self.lab.state(model)
        except UserError as error:
            return status(str(error), "error"), False
        return pill(info), info.state in ("cold", "loading")

    def warm(self, model: str) -> None:
        try:
            self.lab.warm(model)
        except UserError:
            return  # the state pill tells the same

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
            nothing = Selection()
            found = views.everything(partial, wanted, nothing, look, partial=True)
            return {**found, "facts": "", "shown": Shown(nothing, partial, wanted)}
        assert isinstance(event, Finished)
        return self._run(event.run, Selection(event.run.id), look)

    def _run(self, run: Run, chosen: Selection, look: Look, **more: Any) -> Values:
        chosen = chosen.within(run.result)
        trouble = run.environment.get("storage")
        return {
            **views.everything(run.result, run.request, chosen, look, **more),
            "facts": facts_of(run),
            "status": status(str(trouble), "error") if trouble else "",
            "shown": Shown(chosen),
            "model": run.request.model,
            "text": run.request.text,
        }

    def _open(self, chosen: Selection, look: Look, request: gr.Request) -> Values:
        assert chosen.run is not None
        try:
            run = self.lab.open(chosen.run, visitor=visitor_of(request))
        except UserError as error:
            return {"status": status(str(error), "error")}
        if not isinstance(run.result, TraceResult):
            text = f"run={run.id} is a {run.request.kind}, not a trace: open a trace here"
            return {"status": status(text, "error")}
        return self._run(run, chosen, look)

    def _source(
        self, wanted: Selection, shown: Shown | None, request: gr.Request
    ) -> tuple[TraceResult, TraceRequest]:
        if wanted.run is None:
            if shown is None or shown.partial is None or shown.request is None:
                raise UserError("no run is shown: press Run first")
            return shown.partial, shown.request
        run = self.lab.open(wanted.run, visitor=visitor_of(request))
        if not isinstance(run.result, TraceResult) or not isinstance(run.request, TraceRequest):
            raise UserError(f"run={run.id} is a {run.request.kind}, not a trace: open a trace here")
        return run.result, run.request

    def _region(
        self, base: TraceRequest, now: Selection, asked: Values, length: int
    ) -> RegionRequest:
        def span(name: str) -> tuple[int, int]:
            told = asked.get(name)
            if not isinstance(told, list) or len(told) != 2:
                return 0, length
            start, stop = (int(v) if isinstance(v, int | float) else 0 for v in told)
            start = max(0, min(start, length - 1))
            return start, max(start + 1, min(stop, length))

        (q0, q1), (k0, k1) = span("queries"), span("keys")
        return self.lab.request(
            RegionRequest,
            **{
                name: getattr(base, name)
                for name in type(base).model_fields
                if name in RegionRequest.model_fields and name != "tiles"
            },
            layer=now.layer,
            head=now.head,
            query_start=q0,
            query_stop=q1,
            key_start=k0,
            key_stop=k1,
            tiles=128,
        )
