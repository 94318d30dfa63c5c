"""A Plotly figure on the page: themed, linked and exportable."""

import gradio as gr
from plotly.graph_objects import Figure

TEMPLATE = '<figure class="tk-frame" role="group"><div class="tk-plot"></div></figure>'
JS = "window.tokenarium.plot(element, props, watch);"


def plot(figure: Figure | None, name: str) -> gr.HTML:
    """Return a host for the figure; ``layout.meta`` says what its axes select."""
    return gr.HTML(
        figure.to_json() if figure else None,
        html_template=TEMPLATE,
        js_on_load=JS,
        elem_id=f"plot-{name}",
        elem_classes="tk-block",
    )
