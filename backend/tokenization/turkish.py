"""How many tokens of a Turkish text are Turkish: %TR and %Pure, by a small dictionary of our own.

Paper: Bayram et al., 2025, arXiv:2502.07057. A variant: its dictionaries are large and not shipped;
this one has some hundred roots and some dozen affixes, and builds words of them by the rules of
sound (vowel harmony, softened ends, letters between), not by those of meaning.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from tokenarium.backend.settings import PROJECT
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_FILE = PROJECT / "assets" / "tokens" / "turkish.json"
MOST_AFFIXES = 7
_WORD = re.compile(r"[^\W\d_]+")
_BACK, _VOWELS = "aıou", "aeıioöuü"
_HIGH = {"a": "ı", "ı": "ı", "e": "i", "i": "i", "o": "u", "u": "u", "ö": "ü", "ü": "ü"}
_VOICELESS = "fstkçşhp"
_SOUNDS = {"D": "dt", "C": "cç", "G": "gk"}
_SOFT = {"p": "b", "ç": "c", "t": "d", "k": "ğ"}
_HARD = {"b": "p", "c": "ç", "d": "t", "ğ": "k", "g": "k"}
_CAPITALS, _PLAIN = str.maketrans("İI", "iı"), str.maketrans("âîû", "aiu")
_PART = re.compile(r"\((.)\)|(.)")


@dataclass(frozen=True)
class TurkishCount:
    """Of one tokenizer and one text; a token counts once, and only if it has letters."""

    tokens: int
    """Of the whole text, others too."""
    distinct: int
    """Tokens with letters, or with bytes that are no whole character."""
    words: int
    """Of those, words that the dictionary has or builds."""
    pure: int
    """Of those, roots or affixes of two letters or more."""

    @property
    def percent_tr(self) -> float:
        """%TR: share of the distinct tokens that are words, in percent."""
        return 100 * self.words / self.distinct if self.distinct else float("nan")

    @property
    def percent_pure(self) -> float:
        """%Pure: share of the distinct tokens that are a root or an affix, in percent."""
        return 100 * self.pure / self.distinct if self.distinct else float("nan")


@dataclass(frozen=True)
class TurkishWords:
    """What the dictionary knows of a text itself."""

    distinct: int
    words: int
    """Of those, words that the dictionary has or builds."""
    pure: int
    """Of those, bare roots or affixes."""
    unknown: tuple[str, ...]
    """The others, as they come."""
    roots: int
    """That the dictionary has."""
    affixes: int
    """That the dictionary has, their forms by sound not counted."""


@dataclass(frozen=True)
class Dictionary:
    """Roots and affixes, and what they build."""

    nouns: frozenset[str]
    verbs: frozenset[str]
    nominal: tuple[str, ...] = field(repr=False)
    """Affixes after nouns, as patterns of sounds."""
    verbal: tuple[str, ...] = field(repr=False)
    verb_making: tuple[str, ...] = field(repr=False)

    @property
    def affixes(self) -> int:
        """Number of affixes, their forms by sound not counted."""
        return len({*self.nominal, *self.verbal, *self.verb_making})

    def is_word(self, text: str) -> bool:
        """Return whether a word, folded, is a root with no or more affixes by the rules of sound.

        ``evlerde`` is ev + ler + de; ``evlarda`` is none, since a does not follow e.
        """
        for size in range(1, len(text) + 1):
            stem, rest = text[:size], text[size:]
            if any(
                self._goes_on(stem, rest, verb=verb, left=MOST_AFFIXES, bare=True)
                for verb in self._kinds(stem, rest)
            ):
                return True
        return False

    def is_pure(self, text: str) -> bool:
        """Return whether a text, folded, is a bare root or an affix of two letters or more."""
        return text in self.roots or text in self.forms

    @cached_property
    def roots(self) -> frozenset[str]:
        """Roots as they stand alone or with a softened end."""
        every = self.nouns | self.verbs
        return every | {_softened(root) for root in every if len(root) > 2}

    @cached_property
    def forms(self) -> frozenset[str]:
        """Affixes of two letters or more in every form that sound gives them."""
        stems = [vowel + end for vowel in _VOWELS for end in ("", "n", "t")]
        affixes = {*self.nominal, *self.verbal, *self.verb_making}
        found = {rendered(affix, stem) for affix in affixes for stem in stems}
        found |= {form[:-1] + "ğ" for form in found if form.endswith("k")}
        return frozenset(form for form in found if len(form) > 1)

    def _kinds(self, stem: str, rest: str) -> Iterator[bool]:
        """Yield whether a stem is a verb, for what it may be before the rest of the word."""
        before_vowel = rest[:1] != "" and rest[0] in _VOWELS
        for verb, roots in ((False, self.nouns), (True, self.verbs)):
            if stem in roots or (before_vowel and _hardened(stem) in roots):
                yield verb
        # bekle + iyor is bekliyor: the open end of a verb narrows away.
        if rest[1:4] == "yor" and {stem + "a", stem + "e"} & self.verbs:
            yield True

    def _goes_on(self, stem: str, rest: str, *, verb: bool, left: int, bare: bool) -> bool:
        if not rest:
            return True
        if not left:
            return False
        return any(
            self._goes_on(stem + form, rest[len(form) :], verb=then, left=left - 1, bare=False)
            for affix, then in self._after(verb=verb, bare=bare)
            for form in _softening(rendered(affix, stem), rest)
            if rest.startswith(form)
        )

    def _after(self, *, verb: bool, bare: bool) -> Iterator[tuple[str, bool]]:
        if verb:
            yield from ((affix, True) for affix in self.verbal)
        else:
            yield from ((affix, True) for affix in self.verb_making)
        if not verb or not bare:
            yield from ((affix, False) for affix in self.nominal)


def rendered(affix: str, stem: str) -> str:
    """Return an affix as it sounds after a stem: ``lAr`` after ``ev`` is ``ler``."""
    found = ""
    for optional, plain in _PART.findall(affix):
        whole, letter = stem + found, optional or plain
        if optional and (letter in "AI") == (whole[-1] in _VOWELS):
            continue
        vowel = next((each for each in reversed(whole) if each in _VOWELS), "e")
        if letter == "A":
            found += "a" if vowel in _BACK else "e"
        elif letter == "I":
            found += _HIGH[vowel]
        elif letter in _SOUNDS:
            found += _SOUNDS[letter][whole[-1] in _VOICELESS]
        else:
            found += letter
    return found


def folded(text: str) -> str:
    """Return a text in small letters, as Turkish has them: I is ı, İ is i, and â is a."""
    return text.translate(_CAPITALS).lower().translate(_PLAIN)


@cache
def dictionary() -> Dictionary:
    """Return the dictionary that is shipped."""
    content: Mapping[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return Dictionary(
        frozenset(folded(content["nouns"]).split()),
        frozenset(folded(content["verbs"]).split()),
        *(tuple(content[name].split()) for name in ("nominal", "verbal", "verb_making")),
    )


def turkish(vocabulary: Vocabulary, text: str, known: Dictionary) -> TurkishCount:
    """Return how many tokens of a text are Turkish words, and how many roots or affixes.

    Args:
        vocabulary: of the tokenizer.
        text: in Turkish.
        known: by which it is said.
    """
    native = read(vocabulary, text).native
    shown = {key: _text(vocabulary, key) for key in dict.fromkeys(native)}
    lettered = [word for word in shown.values() if word is None or _WORD.search(word)]
    whole = [word for word in lettered if word is not None and _WORD.fullmatch(word)]
    return TurkishCount(
        tokens=len(native),
        distinct=len(lettered),
        words=sum(map(known.is_word, whole)),
        pure=sum(map(known.is_pure, whole)),
    )


def words_known(text: str, known: Dictionary) -> TurkishWords:
    """Return how many distinct words of a text a dictionary knows: none is cut then."""
    words = list(dict.fromkeys(_WORD.findall(folded(text))))
    found = [word for word in words if known.is_word(word)]
    return TurkishWords(
        distinct=len(words),
        words=len(found),
        pure=sum(map(known.is_pure, words)),
        unknown=tuple(word for word in words if word not in found),
        roots=len(known.nouns | known.verbs),
        affixes=known.affixes,
    )


def _text(vocabulary: Vocabulary, key: int) -> str | None:
    """Return a token folded, without the space before it; None where it is no whole characters."""
    spelled = vocabulary.spelled.get(key, b"")
    try:
        return folded(spelled.decode()).strip()
    except UnicodeDecodeError:
        return None


def _softened(root: str) -> str:
    if root.endswith("nk"):
        return root[:-1] + "g"
    return root[:-1] + _SOFT.get(root[-1], root[-1])


def _hardened(stem: str) -> str:
    """Return what a softened stem may be of: kitab of kitap, reng of renk; else itself."""
    return stem[:-1] + _HARD.get(stem[-1], stem[-1])


def _softening(form: str, rest: str) -> tuple[str, ...]:
    """Return an affix, and before a vowel also with its k softened: lık + ı is lığı."""
    if form.endswith("k") and rest[len(form) : len(form) + 1] in (*_VOWELS,):
        return form, form[:-1] + "ğ"
    return (form,)
