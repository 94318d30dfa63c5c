"""The little Markdown of a lesson as HTML: paragraphs, bold, emphasis, code."""

import re

from tokenarium.ui.text import escape

_CODE = re.compile(r"&#96;(.+?)&#96;")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_EMPHASIS = re.compile(r"\*(.+?)\*")


def paragraphs(text: str) -> str:
    """Return paragraphs, which empty lines part."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "".join(f"<p>{inline(part)}</p>" for part in parts)


def inline(text: str) -> str:
    """Return one line."""
    made = _CODE.sub(r"<code>\1</code>", escape(text))
    made = _BOLD.sub(r"<strong>\1</strong>", made)
    return _EMPHASIS.sub(r"<em>\1</em>", made)
