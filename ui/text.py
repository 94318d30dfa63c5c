"""Text from a model or a visitor, made safe and visible before it reaches the page."""

import html

_NEWLINE, _TAB, _DELETE = "⏎\n", "⇥", "␡"
_INERT = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"})


def visible(token: str) -> str:
    """Return a token's text with what cannot be seen made visible.

    Newlines become a sign and a line break, control characters their Unicode pictures, and a token
    of spaces alone becomes dots, so that every token can be seen and clicked.
    """
    if token and not token.strip(" "):
        return "·" * len(token)
    return "".join(map(_visible_character, token)) or "∅"


def one_line(token: str) -> str:
    """Return ``visible`` text without line breaks, for labels and table cells."""
    return visible(token).replace("\n", "")


def escape(text: str) -> str:
    """Return text that HTML and the page's template engines show as it stands.

    Escapes the characters of HTML and also ``$``, braces and back-ticks, because Gradio's HTML
    templates evaluate ``${...}`` and ``{{...}}`` wherever they find them.
    """
    return html.escape(text, quote=True).translate(_INERT)


def plotly_text(text: str) -> str:
    """Return text that Plotly shows as it stands: it reads a subset of HTML, and ``%{...}``."""
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _visible_character(character: str) -> str:
    if character == "\n":
        return _NEWLINE
    if character == "\t":
        return _TAB
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return _DELETE
    if not character.isprintable() and not character.isspace() and code != 0x200D:
        return f"<U+{code:04X}>"
    return character
