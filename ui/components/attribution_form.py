"""Controls of the Why page that more than one of its sections asks."""

import gradio as gr

from tokenarium.ui.shell.controls import Controls

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
