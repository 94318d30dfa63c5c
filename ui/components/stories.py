"""Where a first visit may begin: links to finished runs, each at a place worth looking at."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from tokenarium.ui.text import escape


@dataclass(frozen=True)
class Story:
    """A link to a state of a page."""

    title: str
    teaser: str
    """What there is to see, in a few words."""
    address: str
    """Relative: path of a page, and what of a stored run it shows."""


def stories(told: Sequence[Story]) -> gr.HTML:
    """Return the links."""
    links = "".join(
        f'<a href="{escape(story.address)}"><b>{escape(story.title)}</b> '
        f"<span>{escape(story.teaser)}</span></a>"
        for story in told
    )
    # Who wants to be led step by step need not find out first what the stories are.
    links += '<a class="tk-step-by-step" href="learn"><b>Learn it step by step</b></a>'
    return gr.HTML(
        f'<nav class="tk-stories" aria-label="Stories to start with">{links}</nav>',
        elem_id="stories",
    )
