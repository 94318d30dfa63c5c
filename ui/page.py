"""The whole page as one Gradio application."""

from typing import Any

import gradio as gr

from backend import Lab
from ui import theme
from ui.pages.layout import Layout

TITLE = "Tokenarium"
TAGLINE = "Watch what a language model keeps, drops and guesses, token by token."


def build(lab: Lab) -> gr.Blocks:
    """Return the application: pages over one lab, no endpoint exposed but those named here."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(f'<header class="tk-head"><h1>{TITLE}</h1><p>{TAGLINE}</p></header>')
        Layout(lab, blocks)
    blocks.queue(max_size=64, default_concurrency_limit=8)
    return blocks


def launch_options() -> dict[str, Any]:
    """Return what ``launch`` needs for this page's look."""
    return {
        "theme": theme.theme(),
        "css": theme.css(),
        "head": theme.head(),
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
    }
