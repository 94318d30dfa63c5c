"""The line over every page: what this is, and links to the other pages."""

from collections.abc import Mapping

import gradio as gr

from tokenarium.ui.text import escape

TAGLINE = "Watch what a language model keeps, drops and guesses, token by token."


def header(title: str, pages: Mapping[str, str], here: str, about: str = TAGLINE) -> None:
    """Show it.

    Args:
        title: of the application.
        pages: title by route.
        here: the route of the page that it stands on.
        about: one sentence on that page.
    """
    links = "".join(
        f'<a href="{path or "./"}" data-page="{path}"{" aria-current=page" * (path == here)}>'
        f"{escape(name)}</a>"
        for path, name in pages.items()
    )
    gr.HTML(
        f'<header class="tk-head"><h1>{escape(title)}</h1><p>{escape(about)}</p></header>'
        f'<nav class="tk-pages" aria-label="Pages">{links}</nav>'
    )
