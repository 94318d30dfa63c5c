"""Which policy, layer and head the panels of a page are about, as controls of the selection."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

JS = "window.tokenarium.placeBar(element, props, watch);"


def place_value(policies: Sequence[tuple[str, str]], layers: int, heads: int) -> dict[str, Any]:
    """Return what the browser draws.

    Args:
        policies: title and slug of each that may be chosen.
        layers: how many.
        heads: KV heads of a layer.
    """
    return {"policies": [list(policy) for policy in policies], "layers": layers, "heads": heads}


def place(value: dict[str, Any] | None) -> gr.HTML:
    """Return the component; it changes the selection and nothing else."""
    return gr.HTML(
        value,
        html_template='<div class="tk-place-bar"></div>',
        js_on_load=JS,
        elem_id="place",
        elem_classes="tk-block",
    )
