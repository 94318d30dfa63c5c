"""A choice of which the entries may change under way."""

from typing import Any

import gradio as gr


class Choice(gr.Dropdown):
    """A dropdown that leaves judging its value to what reads it.

    What a page offers changes with other controls, while an event may still carry what was chosen
    before: Gradio's own check would then say in its words what no visitor did wrong. A request
    names a value it does not know, with what there is; a view takes its usual one.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """Return a text or number, or a list of them; None for anything else."""
        values = payload if isinstance(payload, list) else [payload]
        return payload if all(isinstance(value, str | int | float) for value in values) else None
