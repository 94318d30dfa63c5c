"""Constraints: every beginning by enumeration, every mask by asking token for token."""

from itertools import product

import numpy as np
import pytest

from tokenarium.backend.decoding.allowed import Allowed, Vocabulary
from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.constraints.brackets import Brackets
from tokenarium.backend.decoding.constraints.no_letters import NoLetters
from tokenarium.backend.decoding.constraints.no_phrases import NoPhrases
from tokenarium.backend.decoding.constraints.regex import RegularExpression
from tokenarium.backend.decoding.constraints.words import Words
from tokenarium.backend.decoding.request import ConstraintSpec, DecodeRequest


@pytest.mark.parametrize(
    ("constraint", "alphabet", "longest"),
    [
        (RegularExpression(pattern="(ab|a)*c"), "abc", 6),
        (RegularExpression(pattern="a{2,3}b?"), "abc", 6),
        (Words(words="a ab", most=2), "ab ", 6),
        (NoLetters(letters="B"), "abB", 4),
        (NoPhrases(phrases="ab, BBa"), "abB", 4),
        (Brackets(deepest=2), '{["}]', 6),
    ],
    ids=lambda value: getattr(value, "slug", None),
)
def test_a_beginning_is_viable_where_some_text_completes_it(
    constraint: Constraint, alphabet: str, longest: int
) -> None:
    texts = ["".join(one) for n in range(longest + 1) for one in product(alphabet, repeat=n)]
    complete = {text for text in texts if constraint.complete(text)}
    for text in texts:
        if len(text) <= longest // 2:
            wanted = any(other.startswith(text) for other in complete)
            assert constraint.viable(text) == wanted, text


def test_what_each_calls_complete() -> None:
    assert Brackets().complete('{"a}": [1, "\\"]"]}')
    assert not Brackets().complete('{"a')
    assert not Brackets().viable("{]")
    assert Brackets(deepest=2).viable('[["[[[')
    assert not Brackets(deepest=2).viable("[[[")
    assert Words(words="yes no").complete(" yes no")
    assert not Words(words="yes no").complete(" yes n")
    assert not NoLetters(letters="é").viable("CAFÉ")
    with pytest.raises(ValueError, match=r"pattern='\(' is no regular expression"):
        RegularExpression(pattern="(")


@pytest.mark.parametrize(
    ("constraint", "alphabet"),
    [
        (Words(words="a ab"), "ab "),
        (Words(words="a ab", most=2), "ab "),
        (NoLetters(letters="B"), "abB"),
        (Brackets(deepest=2), '{["]\\'),
        (NoPhrases(phrases="ab, BBa"), "abB"),
    ],
    ids=lambda value: getattr(value, "slug", None),
)
def test_after_a_shortened_text_the_same_may_follow(constraint: Constraint, alphabet: str) -> None:
    texts = ["".join(one) for n in range(5) for one in product(alphabet, repeat=n)]
    for text in filter(constraint.viable, texts):
        short = constraint.shortened(text)
        assert len(short) <= len(text)
        for more in (one for one in texts if len(one) <= 3):
            assert constraint.viable(short + more) == constraint.viable(text + more), (text, more)
            assert constraint.complete(short + more) == constraint.complete(text + more)


SPELLED = {
    0: b"",
    1: b"a",
    2: b"ab",
    3: b"abc",
    4: b"b",
    5: "é".encode(),
    6: "é".encode()[:1],
    7: "é".encode()[1:],
    8: "中".encode()[:1],
    9: b"c",
}


@pytest.mark.parametrize(
    "constraint",
    [
        RegularExpression(pattern="(a|abc|é)*"),
        NoLetters(letters="bè"),
        NoLetters(letters="c"),
        RegularExpression(pattern="abé"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"a", b"ab", "é".encode()[:1]])
def test_a_mask_is_what_each_token_is_asked_for(constraint: Constraint, before: bytes) -> None:
    one, all_ = (Allowed(constraint, Vocabulary(SPELLED, {10}, 12)) for _ in range(2))
    wanted = [one.may_follow(before, token) for token in range(12)]
    np.testing.assert_array_equal(all_.mask(before), wanted)
    assert not wanted[0]
    assert not wanted[11]


def test_half_a_character_may_follow_where_it_can_become_one_that_may() -> None:
    allowed = Allowed(RegularExpression(pattern="é+"), Vocabulary(SPELLED, {10}, 12))
    assert [allowed.may_follow(b"", token) for token in (1, 5, 6, 7, 8)] == [0, 1, 1, 0, 0]
    for pattern, may in (("中", True), ("[一-龥]", True), (".", True), ("a", False)):
        one = Allowed(RegularExpression(pattern=pattern), Vocabulary(SPELLED, {10}, 12))
        assert one.may_follow(b"", 8) == may, pattern
    assert allowed.may_follow("é".encode()[:1], 7)
    assert not allowed.may_follow("é".encode()[:1], 10), "a text does not end within a character"
    assert allowed.may_follow("é".encode(), 10)
    assert not Allowed(NoLetters(letters="é"), Vocabulary(SPELLED, {10}, 12)).may_follow(b"\xc3", 7)


def test_a_refused_beginning_passes_over_all_that_begin_so() -> None:
    many = {key: b"x" + bytes([97 + key % 26, 97 + key // 26]) for key in range(500)}
    allowed = Allowed(RegularExpression(pattern="y"), Vocabulary(many, (), 500))
    assert not allowed.mask(b"").any()
    assert allowed.calls == 2


@pytest.mark.parametrize(
    "constraint",
    [
        RegularExpression(pattern="(a|bé)*"),
        RegularExpression(pattern="[^b]*"),
        Words(words="a ab é", most=3),
        NoLetters(letters="b"),
        NoPhrases(phrases="ab, éa"),
        Brackets(deepest=2),
    ],
    ids=lambda value: getattr(value, "pattern", value.slug),
)
def test_a_walk_over_many_tokens_is_what_each_is_asked_for(constraint: Constraint) -> None:
    letters = [one.encode() for one in 'abB {"}é'] + [b"\xc3", b"\xa9", b"\xff"]
    many = {
        number: b"".join(own)
        for number, own in enumerate(one for n in (1, 2) for one in product(letters, repeat=n))
    }
    end = len(many)
    walked, asked = (Allowed(constraint, Vocabulary(many, {end}, end + 2)) for _ in range(2))
    for before in (b"", b"a", b"aa", b" a", b"{a", "é".encode(), b"\xc3"):
        wanted = [asked.may_follow(before, token) for token in range(end + 2)]
        np.testing.assert_array_equal(walked.mask(before), wanted, err_msg=str(before))
    assert walked.calls < asked.calls


def test_what_may_follow_equal_ends_of_texts_is_worked_out_once() -> None:
    allowed = Allowed(NoPhrases(phrases="ab, BBa"), Vocabulary(SPELLED, {10}, 12))
    known = [allowed.mask(before) for before in (b"", b"a", b"b", b"bb")]
    calls = allowed.calls
    for before, same in ((b"ca", 1), (b"c", 0), (b"ac", 0), (b"acbb", 3)):
        assert allowed.mask(before) is known[same]
    assert allowed.calls == calls
    assert not known[1][4]
    assert known[2][4]


def test_a_request_names_a_constraint_and_somebody_who_follows_it() -> None:
    asked = DecodeRequest(model="m", text="t", strategies="masked", constraint="no_letters")
    assert asked.constraint == ConstraintSpec("no_letters", letters="e")
    assert asked.methods["constraint"] == ("no_letters",)
    with pytest.raises(ValueError, match=r"followed by none of the strategies.*awrs.*masked"):
        DecodeRequest(model="m", text="t", constraint="no_letters")
    plain = DecodeRequest(model="m", text="t", strategies="masked")
    assert plain.key() != asked.key()


def test_where_a_text_breaks_a_constraint_is_told() -> None:
    allowed = Allowed(RegularExpression(pattern="ab?"), Vocabulary(SPELLED, {10}, 12))
    # By hand: "a" and "ab" may stand, "abc" and "b" may not; 10 ends a text.
    for tokens, given, wanted in (
        ([1, 4, 10], 0, None), ([1, 4, 4], 0, 2), ([3], 0, 0), ([4, 1], 0, 0), ([], 0, None),
        ([10], 0, 0), ([1, 10], 1, None), ([1, 3], 1, 1),
    ):  # fmt: skip
        assert allowed.broken_at(tokens, given) == wanted, tokens
