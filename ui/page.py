"""The whole page as one Gradio application."""

from typing import Any

import gradio as gr

from tokenarium.backend import Lab, Settings
from tokenarium.ui import theme
from tokenarium.ui.api import expose
from tokenarium.ui.pages.cache_layout import CacheLayout
from tokenarium.ui.pages.layout import QUIET, Layout
from tokenarium.ui.pages.speculate_layout import SpeculateLayout

TITLE = "Tokenarium"
TAGLINE = "Watch what a language model keeps, drops and guesses, token by token."


def build(lab: Lab) -> gr.Blocks:
    """Return the application: pages over one lab, no endpoint exposed but those named here."""
    blocks: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(f'<header class="tk-head"><h1>{TITLE}</h1><p>{TAGLINE}</p></header>')
        with gr.Tabs(elem_id="pages"):
            with gr.Tab("Explore", id="explore") as explore:
                Layout(lab, blocks)
            with gr.Tab("Cache", id="cache") as cache:
                CacheLayout(lab, blocks, cache)
            with gr.Tab("Speculate", id="speculate") as speculate:
                SpeculateLayout(lab, blocks, speculate)
        for tab in (explore, cache, speculate):
            tab.select(None, js=f"() => window.tokenarium.page('{tab.id}')", **QUIET)
        expose(lab)
    return blocks


def launch_options(settings: Settings) -> dict[str, Any]:
    """Return what ``launch`` needs for the look of this page and the mode it runs in."""
    return {
        "theme": theme.theme(),
        "css": theme.css(),
        "run_history": False,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "quiet": settings.hosted,
        "mcp_server": True,
    }
