"""Tokenizers that are trained on texts as a page asks for them: at once, kept in memory."""

from functools import partial

from tokenarium.backend.errors import told_in_words
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.allowance import Allowance
from tokenarium.backend.tokenization.less_is_better import Epoch
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


class Training:
    """The part of ``Tokenizers`` that trains."""

    _settings: Settings
    _shelf: VocabularyShelf
    _allowance: Allowance

    def train(self, text: str, kind: Kind, size: int, *, words: bool = True) -> Vocabulary:
        """Train a tokenizer on a text and keep it in memory; the same text gives the same one.

        Args:
            text: about a second a megabyte; LiB takes three for every 100,000 characters.
            kind: ``bpe``, ``unigram``, ``wordpiece`` or ``lib``.
            size: entries wanted; fewer where the text has no more to merge.
            words: whether no token goes beyond a word.

        Raises:
            UserError: if the text is too long or too short, or a value out of range; for LiB in
                hosted mode also if it takes longer than a visitor may compute, or two are computed.
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
            made = partial(train, text, kind, size, words=words, name=name, title=title)
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
