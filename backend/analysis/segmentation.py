"""Words and sentences of a text that is known as tokens."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_UNDECODED = re.compile(r"<0x[0-9A-F]{2}>")
_WORD = re.compile(r"[lwd](?:[lwd]|a(?=[lwd])|(?<=d)[.,](?=d))*|i|[^lwdins]+")
# Possessive, and begun at the first sign only, so that no text takes more than linear time.
_STOP = re.compile(
    r"(?<!T)T++[ca]*+[sn]*+(?!l)|(?<![.t])[.t]++[ca]*+(?=[sn])[sn]*+(?!l)|ns*+n[sn]*+"
)
_TITLE = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|St|Prof))\.\s*$")
_IDEOGRAPHS = (
    *((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
    (0x20000, 0x3FFFF),
)


class _Kinds(dict[int, str]):
    """One letter per character, so that plain patterns find words in every script.

    l lower-case letter, w other letter or mark, d digit, i ideograph or kana, a apostrophe,
    t ends a sentence, T does so without a space after it, c closes a quotation, n newline,
    s other space, p the rest; full stop and comma stand for themselves.
    """

    def __missing__(self, code: int) -> str:
        self[code] = kind = _kind(code)
        return kind


def _kind(code: int) -> str:
    character, category = chr(code), unicodedata.category(chr(code))
    if any(low <= code <= high for low, high in _IDEOGRAPHS):
        return "i"
    named = {".": ".", ",": ",", "\n": "n", '"': "c", "_": "w"}
    groups = {
        "'\u2019\u02bc": "a",
        "!?…\u061f\u0589\u0964\u0965": "t",
        "\u3002\uff01\uff1f\uff61": "T",
    }
    found = named.get(character) or next((k for g, k in groups.items() if character in g), None)
    if found:
        return found
    by_category = {"Ll": "l", "Pe": "c", "Pf": "c", "Nd": "d"}
    if category in by_category:
        return by_category[category]
    if category[0] in "LMN":
        return "w"
    return "s" if character.isspace() else "p"


_KINDS = _Kinds()


def word_and_sentence_starts(
    texts: Sequence[str], special: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return at which tokens a word and a sentence begin.

    A word is a run of letters, marks and digits (an apostrophe, or a point between digits, joins),
    one ideograph or kana, or a run of other signs; spaces belong to the word before them, or to
    the one their token begins. A sentence ends at its closing sign before a space (not where a
    lower-case letter follows, nor after an initial or a title), or at an empty line. A unit that
    begins inside a token counts from that token on; in scripts without spaces and ideographs, such
    as Thai, what stands between two spaces is one word.

    Args:
        texts: T token texts, which joined give the text.
        special: [T], true for tokens that were added: each is a word and a sentence of its own.
    Returns: two boolean arrays [T]; both begin at token 0.
    """
    text = _UNDECODED.sub("wwwwww", "".join(texts))
    kinds = text.translate(_KINDS)
    words = [found.start() for found in _WORD.finditer(kinds)]
    sentences = [
        found.end()
        for found in _STOP.finditer(kinds)
        if not _TITLE.search(text, max(0, found.start() - 6), found.end())
    ]
    added = special.copy()
    added[1:] |= special[:-1]
    sentence = _tokens_at(sentences, texts) | added
    word = _tokens_at(words, texts) | sentence
    word[:1] = sentence[:1] = True
    return word, sentence


def _tokens_at(places: list[int], texts: Sequence[str]) -> NDArray[np.bool_]:
    begins = np.cumsum([0, *map(len, texts)])
    inside = np.asarray(places, np.int64)
    inside = inside[inside < begins[-1]]
    found = np.zeros(len(texts), bool)
    found[np.searchsorted(begins[:-1], inside, side="right") - 1] = True
    return found
