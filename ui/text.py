"""Text from a model or a visitor, made safe and visible before it reaches the page."""

import html
import re

_NEWLINE, _TAB, _DELETE = "⏎\n", "⇥", "␡"
_INERT = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"})
# Seen only beside another character: spaces, joiners, variation selectors, fillers.
_BLANK = re.compile(
    r"[^\S\n\t\r\v\f\x1c-\x1f]|[\u034f\u115f\u1160\u200d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BREAKS = "\x85\u2028\u2029"


def visible(token: str) -> str:
    """Return a token's text with what cannot be seen made visible.

    Newlines become a sign and a line break, control characters their Unicode pictures, what has no
    picture or turns the direction of writing its number, and spaces dots in a token of blanks
    alone, so that every token can be seen and clicked.
    """
    if not _BLANK.sub("", token):
        return "".join("·" if c == " " else _numbered(c) for c in token) or "∅"
    return "".join(map(_visible_character, token))


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


def many(count: int, thing: str, things: str = "") -> str:
    """Return a number with the word for what it counts, in the singular where it is one.

    Args:
        count: how many.
        thing: the word for one.
        things: the word for several; with an s at its end where none is given.
    """
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def by_model(model: str) -> str:
    """Return a model's name as an aside after what it did; nothing where it is not known."""
    return f", {escape(model)}" if model else ""


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
    if character.isprintable() or (_BLANK.match(character) and character not in _BREAKS):
        return character
    return _numbered(character)


def _numbered(character: str) -> str:
    return f"<U+{ord(character):04X}>"
