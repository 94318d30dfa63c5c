"""A table shows any text as it stands, and its rows say what they choose."""

import json
import re
from html import unescape

from tokenarium.ui.components.table import Column, Link, table_html

COLUMNS = (Column("token <b>", 'means "this"'), Column("number"))


def test_every_text_is_escaped() -> None:
    shown = table_html(COLUMNS, [["<script>${x}</script>", "{{y}}"]], "<i>caption", "none")
    assert "<script" not in shown
    assert "${" not in shown
    assert "{{" not in shown
    assert "<i>" not in shown
    assert "<b>" not in shown
    assert 'title="means &quot;this&quot;"' in shown


def test_a_link_names_its_selection() -> None:
    rows = [[Link("3 the", {"token": 3}), "x"], [Link('"q"', {"layer": 1, "head": 2}), "y"]]
    shown = table_html(COLUMNS, rows, "caption", "none")
    told = [json.loads(unescape(found)) for found in re.findall('data-select="([^"]*)"', shown)]
    assert told == [{"token": 3}, {"layer": 1, "head": 2}]


def test_a_table_can_be_reached_by_the_keyboard_and_is_named() -> None:
    shown = table_html(COLUMNS, [["a", "b"]], "What <this> is", "none")
    assert shown.startswith(
        '<div class="tk-table" role="region" tabindex="0" aria-label="What &lt;this&gt; is">'
    )


def test_an_empty_table_says_so() -> None:
    assert table_html(COLUMNS, [], "caption", "no <sink>") == (
        '<p class="tk-sub">no &lt;sink&gt;</p>'
    )
