"""Predictions: how sure the model was of every token, and when it made up its mind."""

from collections.abc import Iterator
from dataclasses import replace

import gradio as gr
import numpy as np

from tokenarium.backend import (
    Cancelled,
    Finished,
    LensRequest,
    LensResult,
    Run,
    TraceResult,
    UserError,
)
from tokenarium.ui.components.sentence import status, told
from tokenarium.ui.figures.lens import lens_window, logit_lens
from tokenarium.ui.figures.lines import predictability
from tokenarium.ui.panels.explore.scene import TraceScene
from tokenarium.ui.shell.panel import Action, Panel, Values
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import number, of_run, source

ROWS, STEP = 64, 32
"""Tokens decoded at once, from a multiple of ``STEP`` on: the lens moves on within them."""


class Predictions(Panel):
    """Surprisal and entropy along the text, and the logit lens around the chosen token."""

    slug, title = "predictions", "Predictions"
    uses = frozenset({"token"})

    def build(self) -> None:
        """Make the line, the lens, and a button for the lens of the whole text."""
        self.figure(
            "predictability",
            "How predictable each token was",
            "Surprisal of each token, and the model's entropy just before it.",
        )
        self.figure(
            "lens",
            "Logit lens: what each layer would say next",
            "The residual stream of every layer, decoded as if it were the last.",
        )
        self.html("lens_said")
        self.go = gr.Button("Decode the whole map", size="sm", elem_id="lens-whole")
        self.parts["lens_go"] = self.go
        self.remembered("lens_run")

    def actions(self) -> list[Action]:
        """Return the button."""
        return [Action([self.go.click], self.whole)]

    def whole(self, scene: TraceScene) -> Iterator[Values]:
        """Decode all layers after every token; the page's Cancel stops it."""
        request = self.lab.request(LensRequest, **scene.text)
        ticket = self.lab.start(request, visitor=scene.visitor)
        yield {"running": ticket.id}
        try:
            for event in self.lab.follow(ticket.id, visitor=scene.visitor):
                if isinstance(event, Finished):
                    shown = _lens(scene.having(lens_run=event.run.id), event.run)
                    yield {"status": "", "running": None, "lens_run": event.run.id, **shown}
                else:
                    yield {"status": told(event)}
        except (UserError, Cancelled):
            yield {"running": None}
            raise

    def draw(self, scene: TraceScene) -> Values:
        """Return line and lens; another token moves the lens where it leaves what is shown."""
        result, token, before = scene.result, scene.chosen.token, scene.before
        if before and lens_window(result, before.token) == lens_window(result, token):
            return {}
        line = {} if before else {"predictability": scene.drawn(predictability(result))}
        return {**line, **self._lens_in_sight(scene)}

    def _lens_in_sight(self, scene: TraceScene) -> Values:
        """Return the lens around the chosen token: stored with the trace, or decoded now."""
        if scene.result.lens_kl_nats is not None:
            return _shown(scene, scene.result, "", whole=True)
        if scene.chosen.run is None:
            return _shown(scene, scene.result, "The run is not finished.", whole=True)
        try:
            if found := self._whole_map(scene):
                return _lens(scene, found)
            if self.lab.state(scene.request.model).state not in ("ready", "loading"):
                why = "The model is not loaded: decode the whole map, or run the text again."
                return _shown(scene, scene.result, why, whole=False)
            start = lens_window(scene.result, scene.chosen.token)[0] // STEP * STEP
            rows = tuple(range(start, min(start + ROWS, scene.result.length)))
            request = self.lab.request(LensRequest, **scene.text, rows=rows)
            return _lens(scene, self.lab.run(request, visitor=scene.visitor))
        except (UserError, Cancelled) as error:
            drawn = _shown(scene, scene.result, "", whole=False)
            return {**drawn, "lens_said": status(str(error), "error")}

    def _whole_map(self, scene: TraceScene) -> Run | None:
        """Return the lens of the whole text, if it was decoded on this page."""
        run_id = scene.settings.get("lens_run")
        if not isinstance(run_id, str) or not run_id:
            return None
        run = self.lab.open(run_id, visitor=scene.visitor)
        same = isinstance(run.request, LensRequest) and all(
            getattr(run.request, name) == value for name, value in scene.text.items()
        )
        return run if same else None


def _lens(scene: TraceScene, run: Run) -> Values:
    """Return the lens of a run, and how finely it was computed."""
    found = run.result
    assert isinstance(found, LensResult)
    rows = len(found.rows)

    def of(form: str, name: str) -> str:
        return number(format(getattr(found, name), form), source(name))

    decoded = number(f"{rows}", source("lens_rows"))
    said = (
        f"All layers after {decoded} of {of('d', 'length')} tokens, products in "
        f"{escape(found.products)}."
    )
    if found.checked_cells:
        said += (
            f" Against float32 in {of('d', 'checked_cells')} of the cells: entropy off by at most "
            f"{of('.2g', 'entropy_error_nats')} nats, KL by {of('.2g', 'kl_error_nats')} nats, the "
            f"same first guess in {of('.0%', 'same_first')}."
        )
    filled = _filled(scene.result, found)
    return _shown(scene, filled, of_run(said, run.id), whole=rows == found.length)


def _shown(scene: TraceScene, result: TraceResult, said: str, *, whole: bool) -> Values:
    return {
        "lens": scene.drawn(logit_lens(result, scene.chosen.token)),
        "lens_said": f'<div class="tk-sub">{said}</div>' if said else "",
        "lens_go": gr.Button(visible=not whole),
    }


def _filled(trace: TraceResult, found: LensResult) -> TraceResult:
    """Return the trace with what was decoded, NaN and no text elsewhere."""
    shape, first = (trace.layers + 1, trace.length), int(found.rows[0])
    stop = int(found.rows[-1]) + 1
    entropy, kl = np.full((2, *shape), np.nan, np.float32)
    ids = np.full(shape, -1, np.int32)
    for whole, part in ((entropy, found.lens_entropy_nats), (kl, found.lens_kl_nats)):
        whole[:, first:stop] = part
    ids[:, first:stop] = found.lens_ids
    before, after = ("",) * first, ("",) * (trace.length - stop)
    return replace(
        trace,
        lens_ids=ids,
        lens_text=tuple((*before, *row, *after) for row in found.lens_text),
        lens_entropy_nats=entropy,
        lens_kl_nats=kl,
    )
