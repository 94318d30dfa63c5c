"""A choice among the runs that a visitor may list."""

from typing import Any

import gradio as gr

from tokenarium.backend import Lab
from tokenarium.ui.visitor import visitor_of

MOST = 30
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": None,
    "trigger_mode": "always_last",
}


def stored_runs(lab: Lab, request: gr.Request) -> list[tuple[str, str]]:
    """Return label and id of the newest traces this visitor may list."""
    found = lab.search(visitor=visitor_of(request), kind="trace", limit=MOST)
    return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]


def run_picker(lab: Lab, label: str, name: str, value: str | None = None) -> gr.Dropdown:
    """Return a dropdown of runs, which looks for new ones whenever it is opened."""
    picker = gr.Dropdown(
        [(example.title, example.run_id) for example in lab.examples("trace")],
        value=value,
        label=label,
        elem_id=name,
        interactive=True,
    )

    def listed(request: gr.Request) -> gr.Dropdown:
        return gr.Dropdown(choices=stored_runs(lab, request))

    picker.focus(listed, None, picker, **QUIET)
    return picker
