"""Text of a model or a visitor stays text, and every token can be seen."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenarium.ui.text import escape, many, one_line, plotly_text, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "${alert(1)}",
    "{{x}}",
    "`${1}`",
    """ "quoted" and 'quoted' """,
    "a & b &lt; c",
    "<img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escape_leaves_nothing_that_html_or_a_template_reads(text: str) -> None:
    safe = escape(text)
    assert not set(safe) & set("<>${}`\"'")
    assert html.unescape(safe) == text


@given(st.text())
def test_escape_is_undone_by_html_alone(text: str) -> None:
    safe = escape(text)
    assert not set(safe) & set("<>${}`\"'")
    # Not html.unescape: it also replaces control characters that a page shows as they are.
    for character in "<>${}`\"'":
        safe = safe.replace(html.escape(character), character).replace(
            f"&#{ord(character)};", character
        )
    assert safe.replace("&amp;", "&") == text


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("", "∅"),
        (" ", "·"),
        ("   ", "···"),
        (" word", " word"),
        ("\n", "⏎\n"),
        ("a\nb", "a⏎\nb"),
        ("\t", "⇥"),
        ("\r", "␍"),
        ("\x00", "␀"),
        ("\x1b[0m", "␛[0m"),
        ("\x7f", "␡"),
        ("\x85", "<U+0085>"),
        ("\u2028", "<U+2028>"),
        ("\u200b", "<U+200B>"),
        ("\u00ad", "<U+00AD>"),
        ("\ufeff", "<U+FEFF>"),
        ("\u202eabc", "<U+202E>abc"),
        ("\u2066", "<U+2066>"),
        ("\u200d", "<U+200D>"),
        ("\ufe0f", "<U+FE0F>"),
        ("\u00a0", "<U+00A0>"),
        ("\u3000", "<U+3000>"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("♥\ufe0f", "♥\ufe0f"),
        ("a\u00a0b", "a\u00a0b"),
        ("שלום", "שלום"),
    ],
)
def test_visible_shows_what_cannot_be_seen(token: str, shown: str) -> None:
    assert visible(token) == shown


@given(st.text())
def test_visible_has_no_control_nor_direction_override(token: str) -> None:
    shown = visible(token)
    assert shown.strip()
    assert not [c for c in shown if c < " " and c != "\n"]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b")


@given(st.text())
def test_one_line_is_one_line(token: str) -> None:
    assert len(one_line(token).splitlines()) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_plotly_text_is_shown_as_it_stands(text: str) -> None:
    safe = plotly_text(text)
    assert not set(safe) & set("<>")
    assert html.unescape(safe) == text


def test_plotly_text_has_no_line_break() -> None:
    assert plotly_text("a\nb") == "a⏎b"


def test_what_is_one_is_told_in_the_singular() -> None:
    assert [many(n, "token") for n in (0, 1, 2, 1234)] == [
        "0 tokens",
        "1 token",
        "2 tokens",
        "1,234 tokens",
    ]
    assert [many(n, "pass", "passes") for n in (1, 2)] == ["1 pass", "2 passes"]
