"""The button that opens the controls of a page, which are one line until they are used."""

import gradio as gr

CHANGE = "change"
"""Id of what it opens."""
JS = "window.tokenarium.change(element);"


def change() -> gr.HTML:
    """Return the button, to be rendered where it stands."""
    return gr.HTML(
        html_template=(
            f'<button type="button" class="tk-change" aria-expanded="false" '
            f'aria-controls="{CHANGE}">Change</button>'
        ),
        js_on_load=JS,
        elem_id="change-button",
        render=False,
    )
