"""Characters that were cut into bytes are read as they were written."""

from base64 import b64decode
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ui.hand_made import trace
from tokenarium.backend import TraceResult
from tokenarium.ui.characters import displayed, groups, named, spelled_bytes, written
from tokenarium.ui.components.strip import SEPARATOR, strip_value
from tokenarium.ui.components.token_card import token_card
from tokenarium.ui.figures.lines import received
from tokenarium.ui.shell.selection import Chosen

SENTENCES = ("مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "ça va?", "👨‍👩‍👧 👍🏽 🇫🇷🇩🇪 ❤️ 1️⃣", "日本語")


def as_bytes(text: str) -> list[str]:
    """Return a text as a tokenizer without merges cuts it: ASCII letters whole, the rest bytes."""
    return [
        piece
        for sign in text
        for piece in ([sign] if sign < "\x80" else [f"<0x{b:02X}>" for b in sign.encode()])
    ]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_in_bytes_is_read_as_it_was_written(sentence: str) -> None:
    texts = as_bytes(sentence)
    assert "".join(written(texts)) == sentence
    assert len(written(texts)) == len(texts)
    for group in groups(texts):
        assert b"".join(map(spelled_bytes, texts[group.start : group.stop])) == group.text.encode()


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["<0xD9>", "<0x85>", "a"], [(0, 2, "م")]),
        (["<0xE0><0xA4>", "<0xB8><0xE0><0xA5>", "<0x8D>"], [(0, 3, "स्")]),
        (["स", "<0xE0><0xA5>", "<0x8D>"], [(0, 3, "स्")]),
        (["स", "्"], []),
        (["👨", "\u200d", "👩"], [(0, 3, "👨\u200d👩")]),
        ([" 👍", "🏽", " a"], [(0, 2, " 👍🏽")]),
        (as_bytes("🇫🇷🇩🇪"), [(0, 8, "🇫🇷"), (8, 16, "🇩🇪")]),
        (["a", "<0xD9>", "b"], []),
        (["<0xFF>", "<0xD9>", "<0x85>"], [(1, 3, "م")]),
        (["<0xD9>"], []),
        ([], []),
    ],
)
def test_groups_are_what_can_only_be_read_together(
    texts: list[str], wanted: list[tuple[int, int, str]]
) -> None:
    assert [(g.start, g.stop, g.text) for g in groups(texts)] == wanted


def test_a_part_is_named_by_its_character_and_place() -> None:
    assert named(["a", "<0xD9>", "<0x85>"]) == ("a", "م (1 of 2)", "م (2 of 2)")


@given(st.lists(st.sampled_from(["a", "<0xD9>", "<0x85>", "<0xF0>", "\u200d", "👩", "म", ""])))
def test_any_bytes_lose_nothing(texts: list[str]) -> None:
    ends = [(g.start, g.stop) for g in groups(texts)]
    assert ends == sorted(ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    spelled = b"".join(map(spelled_bytes, texts))
    assert b"".join(map(spelled_bytes, written(texts))) == spelled


def test_marks_without_end_are_cut() -> None:
    texts = ["a", *["<0xCC>", "<0x81>"] * 4000]
    assert max(g.stop - g.start for g in groups(texts)) <= 64


CUT = ("a", "<0xD9>", "<0x85>", " b")


def cut_trace() -> TraceResult:
    return trace(4, token_text=CUT)


def test_the_strip_shows_a_cut_character_once_and_knows_its_tokens() -> None:
    value = strip_value(cut_trace(), Chosen())
    shown = value["texts"]["vocabulary"].split(SEPARATOR)
    assert "".join(shown) == "aم b"
    bits = np.unpackbits(np.frombuffer(b64decode(value["characters"]), "u1"), bitorder="little")
    assert bits[:4].tolist() == [1, 1, 0, 1]


def test_the_card_reads_the_character_and_shows_the_bytes_of_each_token() -> None:
    card = token_card(cut_trace(), Chosen(token=2))
    assert '<span class="tk-big">م</span>' in card
    assert "Token 2 of the 2 that spell" in card
    assert card.count("data-select") == 2
    assert "<code>D9</code>" in card
    assert 'aria-current="true"><code>85</code>' in card
    assert "tk-bytes" not in token_card(cut_trace(), Chosen(token=3))


def test_figures_and_lanes_read_it_too() -> None:
    assert received(cut_trace(), 0, 0).data[0].customdata == ("a", "م (1 of 2)", "م (2 of 2)", " b")
    assert displayed(["", *CUT]) == ["∅", "a", "م", "", " b"]
