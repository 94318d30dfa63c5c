"""A Plotly figure on the page: themed, linked and exportable."""

import gradio as gr

from ui.components.scripts import scripts
from ui.text import escape

TEMPLATE = """
<section class="tk-figure">
  <h2>{title}</h2><p class="tk-sub">{explanation}</p>
  <figure class="tk-frame" role="group"><div class="tk-plot"></div></figure>
</section>
"""
JS = "window.tokenarium.plot(element, props, watch);"


def plot(figure: str | None, name: str, title: str, explanation: str) -> gr.HTML:
    """Return a host for a figure's JSON; its ``layout.meta`` says what the axes select."""
    return gr.HTML(
        figure,
        html_template=TEMPLATE.format(title=escape(title), explanation=escape(explanation)),
        js_on_load=JS,
        head=scripts(),
        elem_id=f"plot-{name}",
        elem_classes="tk-block",
    )
