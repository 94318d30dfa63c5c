"""Controls of the Why page that more than one of its sections asks."""

import gradio as gr

from tokenarium.backend import AttributeRequest, Lab
from tokenarium.ui.components.turns import given
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.panel import Values

TARGET = "Token to explain"
TARGET_INFO = "Its position; -1 is the last token. Empty explains what the model expects next."


def build_target(controls: Controls) -> None:
    """Make the choice of the token to explain, and of what it is compared with."""
    with gr.Row():
        place = gr.Number(-1, label=TARGET, info=TARGET_INFO, precision=0, elem_id="target")
        controls.add("target", place)
        against = gr.Textbox(
            "",
            label="Rather than",
            info="Another word that is one token: why this one and not that. May be empty.",
            elem_id="against",
        )
        controls.add("against", against)


def attribution_request(lab: Lab, asked: Values) -> AttributeRequest:
    """Return the attribution that the controls ask for.

    Raises:
        UserError: naming what is out of range.
    """
    method = asked["attributor"]
    return lab.request(
        AttributeRequest,
        model=asked["model"],
        **given(asked["text"], asked["turns"]),
        target=asked["target"],
        against=asked["against"] or None,
        method=method,
        parameters=asked["parameters"].get(str(method), {}),
        unit=asked["unit"],
        matmul_precision=asked["matmul_precision"],
    )
