"""Where the race stands on the Speculate page."""

from typing import Any

import gradio as gr

from tokenarium.backend import Drafter, Lab
from tokenarium.ui.components.race import race
from tokenarium.ui.pages.race import MOST


class RaceLayout:
    """Build the race; handlers are wired by the page."""

    def __init__(self, lab: Lab) -> None:
        self.parts: dict[str, Any] = {}
        gr.HTML(
            "<h2>Race</h2>"
            '<p class="tk-sub">The prompt, models and temperature above, one drafter after '
            "another, each with a rule that is right for it; then all at once, in the time each "
            "took, beside plain decoding.</p>"
        )
        with gr.Row():
            self.chosen = gr.Dropdown(
                [(drafter.title, drafter.slug) for drafter in lab.methods(Drafter)],
                value=_usual(lab),
                multiselect=True,
                max_choices=MOST,
                label=f"Drafters (up to {MOST})",
                elem_id="racers",
                scale=4,
            )
            self.go = gr.Button("Race", variant="primary", elem_id="race-run")
            self.stop = gr.Button("Cancel", elem_id="race-cancel")
        self.parts["race_status"] = gr.HTML("", elem_id="race-status")
        self.parts["race"] = race(None)


def _usual(lab: Lab) -> list[str]:
    """Return one drafter for each thing that guesses can come from."""
    first: dict[str, str] = {}
    for drafter in lab.methods(Drafter):
        first.setdefault(drafter.source, drafter.slug)
    return list(first.values())[:MOST]
