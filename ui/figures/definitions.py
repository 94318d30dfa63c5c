"""Definitions in hover text."""

import textwrap

from tokenarium.ui.text import plotly_text


def defined(text: str) -> str:
    """Return a definition as the last lines of a hover label, wrapped to be read."""
    return f"<br><i>{'<br>'.join(map(plotly_text, textwrap.wrap(text, 56)))}</i>"
