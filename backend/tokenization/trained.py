"""Tokenizers that are trained on texts as a page asks for them: at once, kept in memory."""

from collections.abc import Mapping, Sequence
from functools import partial

from tokenarium.backend.errors import told_in_words
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.allowance import Allowance
from tokenarium.backend.tokenization.domains import DomainComparison, compared, equal_bytes
from tokenarium.backend.tokenization.extension import (
    Extension,
    extended,
    extension,
    trained_merges,
)
from tokenarium.backend.tokenization.languages import parallel_text
from tokenarium.backend.tokenization.less_is_better import Epoch
from tokenarium.backend.tokenization.noise import Noise, Stability, stability
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.shelf import GIVEN, VocabularyShelf
from tokenarium.backend.tokenization.training import (
    HOSTED_MOST_CHARACTERS,
    MOST_CHARACTERS,
    TITLES,
    Kind,
    Point,
    digest_of,
    growth,
    sizes_of,
    train,
)
from tokenarium.backend.tokenization.vocabulary import Vocabulary

MOST_MERGES = 8_000
LONGEST_TRAINING_S = 60.0
"""Processor time of the library, which takes about a second for a megabyte of words."""


class Training:
    """The part of ``Tokenizers`` that trains."""

    _settings: Settings
    _shelf: VocabularyShelf
    _allowance: Allowance

    def train(self, text: str, kind: Kind, size: int, *, words: bool = True) -> Vocabulary:
        """Train a tokenizer on a text and keep it in memory; the same text gives the same one.

        Args:
            text: about a second a megabyte; LiB takes three for every 100,000 characters.
            kind: ``bpe``, ``unigram``, ``wordpiece``, ``lib``, or ``characters``: BPE whose tokens
                have at most three bytes.
            size: entries wanted; fewer where the text has no more to merge.
            words: whether no token goes beyond a word.

        Raises:
            UserError: if the text is too long or too short, or a value out of range; for LiB in
                hosted mode also if two are computed already; if it takes more than a minute of a
                processor, or in hosted mode longer than a visitor may compute.
            Cancelled: if the run that asks was cancelled meanwhile.
        """
        most = HOSTED_MOST_CHARACTERS if self._settings.hosted else MOST_CHARACTERS
        with told_in_words():
            if len(text) > most:
                raise ValueError(
                    f"the text has {len(text):,} characters: at most {most:,} are trained on here"
                )
            refuse_surrogate("text", text)
            name = GIVEN + digest_of(text, kind, size, words=words)
            title = f"{TITLES.get(kind, kind)} {size:,}" + ("" if words else ", beyond words")
            made = partial(
                train,
                text,
                kind,
                size,
                words=words,
                name=name,
                title=title,
                seconds=self._allowance.at_most(LONGEST_TRAINING_S),
            )
            if kind != "lib":
                return self._shelf.keep(made())
            with self._allowance.turn("give a shorter text") as check:
                return self._shelf.keep(made(check=check))

    def epochs(self, name: str) -> tuple[Epoch, ...]:
        """Return how the units of a tokenizer of LiB were learned; empty for any other.

        Raises:
            UserError: if there is no such tokenizer.
        """
        with told_in_words():
            return getattr(self._shelf.get(name).engine, "epochs", ())

    def growth(self, name: str, text: str) -> tuple[Point, ...]:
        """Return how many tokens a text is under the first merges of a tokenizer, from none to all.

        Empty for a tokenizer without merges, or one that changes the text first.

        Raises:
            UserError: if there is no such tokenizer.
        """
        with told_in_words():
            vocabulary = self._shelf.get(name)
            reading = read(vocabulary, text)
            if not vocabulary.merges or not reading.spelled:
                return ()
            return growth(vocabulary, reading, sizes_of(len(vocabulary.merge_list)))

    def domain(
        self,
        texts: Mapping[str, str],
        size: int = 1_000,
        *,
        noise: Noise = "ocr",
        share: float = 0.02,
        beside: Sequence[str] = (),
    ) -> DomainComparison:
        """Return what a tokenizer of a domain saves against a general one, and how it stands noise.

        Both are trained on as many bytes, and kept in memory; the last fifth of each text is
        counted. A character-level one is trained on the domain's text, as large as these.

        Args:
            texts: two by name, of at least 4,000 bytes; the domain's first, then a general one.
            size: entries of each tokenizer.
            noise: errors in the held-out text of the domain: ``ocr`` or ``typed``.
            share: chance of an error at each place that can have one, 0 to 1.
            beside: names of other tokenizers that are counted too.

        Raises:
            UserError: if a text is too long or too short, or a value out of range; in hosted mode
                also if it takes longer than a visitor may compute, or two are computed already.
            Cancelled: if the run that asks was cancelled meanwhile.
        """
        most = HOSTED_MOST_CHARACTERS if self._settings.hosted else MOST_CHARACTERS
        with told_in_words():
            count = sum(map(len, texts.values()))
            if count > 2 * most:
                raise ValueError(
                    f"the texts have {count:,} characters: at most {2 * most:,} are read here"
                )
            for text in texts.values():
                refuse_surrogate("text", text)
            others = [self._shelf.get(name) for name in beside]
            with self._allowance.turn("give shorter texts") as check:
                parts, held_out = equal_bytes(texts)
                (first, mine), (second, theirs) = parts.items()
                made = [
                    self._made(mine, "bpe", size, f"BPE of {first}"),
                    self._made(theirs, "bpe", size, f"BPE of {second}"),
                    self._made(mine, "characters", size, f"character-level BPE of {first}"),
                ]
                equal = min(len(part.encode()) for part in parts.values())
                return compared([*made, *others], equal, held_out, noise, share, check)

    def noise(
        self, name: str, text: str, noise: Noise = "ocr", share: float = 0.02, seed: int = 0
    ) -> Stability:
        """Return how much of a tokenizer's cut of a text stands errors in it.

        Args:
            name: of the tokenizer.
            text: without errors.
            noise: ``ocr`` (letters taken for others) or ``typed``.
            share: chance of an error at each place that can have one, 0 to 1.
            seed: of where the errors are.

        Raises:
            UserError: if there is no such tokenizer, no error is made, or a value is out of range.
        """
        with told_in_words():
            if len(text) > HOSTED_MOST_CHARACTERS:
                raise ValueError(
                    f"the text has {len(text):,} characters: at most {HOSTED_MOST_CHARACTERS:,} "
                    "are read here"
                )
            return stability(self._shelf.get(name), text, noise, share, seed)

    def extend(self, name: str, text: str, merges: int = 500) -> Extension:
        """Return a tokenizer with merges of another language on top of its own, kept in memory.

        Args:
            name: of a tokenizer of byte-pair encoding.
            text: in that language; about a second for every 20,000 characters.
            merges: new tokens at most, 1 to 8,000; fewer where no pair stands twice.

        Raises:
            UserError: if the tokenizer has no merges or changes the text, the text is too long or
                gives no merge, or the number is out of range; in hosted mode also if it takes
                longer than a visitor may compute, or two are computed already.
            Cancelled: if the run that asks was cancelled meanwhile.
        """
        with told_in_words():
            if len(text) > HOSTED_MOST_CHARACTERS:
                raise ValueError(
                    f"the text has {len(text):,} characters: at most {HOSTED_MOST_CHARACTERS:,} "
                    "are trained on here"
                )
            if not 1 <= merges <= MOST_MERGES:
                raise ValueError(f"merges={merges} is out of range: choose 1 to {MOST_MERGES:,}")
            old = self._shelf.get(name)
            with self._allowance.turn("give a shorter text, or fewer merges") as check:
                pairs = trained_merges(old, text, merges, check)
                if not pairs:
                    raise ValueError(
                        "no pair of tokens stands twice in the text: give a longer one"
                    )
                digest = digest_of(text, f"{old.digest} extended", merges, words=True)
                title = f"{old.title} and {len(pairs):,} more"
                new = self._shelf.keep(extended(old, pairs, GIVEN + digest, title))
                return extension(old, new, parallel_text(), len(text.encode()), check)

    def _made(self, text: str, kind: Kind, size: int, title: str) -> Vocabulary:
        name = GIVEN + digest_of(text, f"{title} {kind}", size, words=True)
        seconds = self._allowance.at_most(LONGEST_TRAINING_S)
        made = train(text, kind, size, words=True, name=name, title=title, seconds=seconds)
        return self._shelf.keep(made)
