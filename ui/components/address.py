"""What a page's part of the address says, and what it asks to be opened."""

from typing import Any

import gradio as gr

from tokenarium.ui.components.scripts import scripts

JS = """
const T = window.tokenarium;
T.linked('{page}', props, watch, asked => {{ props.value = asked; trigger('open'); }});
T.bus.on('open', asked => {{ props.value = {{...asked, asked: true}}; trigger('open'); }});
"""


def address(page: str, value: dict[str, Any] | None) -> gr.HTML:
    """Return the hidden component; its ``open`` event tells a dictionary of what to show."""
    return gr.HTML(
        value,
        html_template="<i hidden></i>",
        js_on_load=JS.format(page=page),
        head=scripts(),
        elem_id=f"address-{page}",
        elem_classes="tk-hidden",
    )
