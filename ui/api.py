"""The named endpoints: the same runs over HTTP, for scripts and notebooks."""

from typing import Any

import gradio as gr
import orjson
from gradio.events import api

from tokenarium.backend import Lab, TraceRequest, UserError
from tokenarium.ui.visitor import visitor_of


def expose(lab: Lab) -> None:
    """Add the endpoints ``/trace`` and ``/run`` to the current ``gr.Blocks``."""

    def trace(text: str, model: str, request: gr.Request) -> dict[str, Any]:
        """Read a text with a model and return the run with every number and its definition."""
        try:
            wanted = lab.request(TraceRequest, model=model or "bundled/target", text=text)
            return _content(lab, lab.run(wanted, visitor=visitor_of(request)).id)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def stored(run_id: str) -> dict[str, Any]:
        """Return a stored run with every number and its definition."""
        try:
            return _content(lab, run_id)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    api(trace, api_name="trace")
    api(stored, api_name="run")


def _content(lab: Lab, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(lab.export(run_id))
    return found
