"""Tokenizers as a page asks for them: at once, without weights, nothing stored."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from tokenarium.backend.arguments import checks_arguments
from tokenarium.backend.errors import told_in_words
from tokenarium.backend.models.files import read_object
from tokenarium.backend.models.names import BUNDLED, available, folder, resolve
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.allowance import Allowance
from tokenarium.backend.tokenization.bpe import refuse_without_merges, steps
from tokenarium.backend.tokenization.languages import (
    Parallel,
    Premium,
    counts,
    parallel_text,
    premiums,
)
from tokenarium.backend.tokenization.mixture import Mixture, mixture
from tokenarium.backend.tokenization.request import MOST_CHARACTERS as MOST_CHARACTERS_CUT
from tokenarium.backend.tokenization.request import TokenizeRequest
from tokenarium.backend.tokenization.result import TokenizeResult
from tokenarium.backend.tokenization.runner import tokenize
from tokenarium.backend.tokenization.samples import Sample, own_samples
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.size_curves import SizeCurve, cut_off, trained
from tokenarium.backend.tokenization.trained import LONGEST_TRAINING_S, Training
from tokenarium.backend.tokenization.training import HOSTED_MOST_CHARACTERS, MOST_CHARACTERS
from tokenarium.backend.tokenization.turkish import (
    TurkishCount,
    TurkishWords,
    dictionary,
    turkish,
    words_known,
)
from tokenarium.backend.tokenization.vocabulary import Vocabulary

MOST_PLAYED = 1_000
"""Characters of a word whose merges are played: after each of them all tokens are kept."""


@checks_arguments
class Tokenizers(Training):
    """Tokenizers by name; safe to use from many threads.

    Args:
        settings: what the current mode allows.
        registry: whose tokenizers they are.
    """

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        self._settings, self._shelf = settings, registry.vocabularies
        self._allowance = Allowance(settings.hosted_max_seconds if settings.hosted else None)

    def offered(self) -> dict[str, str]:
        """Return titles by name of the tokenizers that are on this machine.

        The bundled models share one, which stands once.
        """
        shared = [*BUNDLED][1:]
        return {
            source.name: source.title
            for source in available(self._settings)
            if source.name not in shared and (home := folder(source))
            if (home / "tokenizer.json").is_file()
        }

    def get(self, name: str) -> Vocabulary:
        """Return a vocabulary.

        Raises:
            UserError: if there is none of this name, with the remedy.
        """
        with told_in_words():
            return self._shelf.get(name)

    def give(self, state: str, title: str) -> Vocabulary:
        """Keep a tokenizer that a visitor has, in memory; its name is made of its content.

        Args:
            state: a tokenizer.json as text.
            title: for people, such as the name of the file.

        Raises:
            UserError: if it is too large or cannot be read.
        """
        with told_in_words():
            return self._shelf.give(state, title)

    def kv_bytes_per_token(self, name: str) -> int | None:
        """Return bytes of keys and values of one token at 16 bits, of the model of this name.

        None where that is not a model on this machine, or its configuration does not say.
        """
        with suppress(ValueError, OSError, LookupError, TypeError):
            home = folder(resolve(name, self._settings))
            config = read_object(home / "config.json") if home else {}
            config |= config.get("text_config") or {}
            heads = int(config["num_attention_heads"])
            size = config.get("head_dim") or int(config["hidden_size"]) // heads
            kept = int(config.get("num_key_value_heads") or heads)
            return 2 * 2 * int(config["num_hidden_layers"]) * kept * int(size)
        return None

    def premiums(
        self, name: str, against: str, texts: Sequence[Parallel] | None = None
    ) -> tuple[tuple[Parallel, Premium], ...]:
        """Return what each language of a parallel text costs against one of them.

        Args:
            name: of the tokenizer.
            against: code of the language that stands for 1.
            texts: at least two languages with as many sentences each; the paragraph that is
                shipped where None.

        Raises:
            UserError: if there is no such tokenizer or language, or a sentence is missing.
        """
        every = tuple(texts or parallel_text())
        with told_in_words():
            codes = [text.code for text in every]
            if against not in codes:
                raise ValueError(f"language={against!r} is none of them: {', '.join(codes)}")
            if len({len(text.sentences) for text in every}) > 1 or not every[0].sentences:
                raise ValueError("every language needs as many sentences: add what is missing")
            tokens = counts(self._shelf.get(name), every)
            return tuple(zip(every, premiums(tokens, codes.index(against)), strict=True))

    def merge_steps(self, name: str, word: str) -> tuple[tuple[str, ...], ...]:
        """Return the pieces of a word after each merge, its symbols first.

        Raises:
            UserError: if the tokenizer has no merges, or changes the word before it cuts it, or
                the word is too long.
        """
        with told_in_words():
            if len(word) > MOST_PLAYED:
                raise ValueError(
                    f"the word has {len(word):,} characters: merges of at most {MOST_PLAYED:,} are "
                    "played, so take a shorter one"
                )
            vocabulary = self._shelf.get(name)
            refuse_without_merges(vocabulary, "playing merges")
            reading = read(vocabulary, word)
            if not reading.spelled:
                raise ValueError(f"{vocabulary.title} changes this word first: choose another")
            played = _played([vocabulary.symbols(piece) for piece in reading.pieces], vocabulary)
            texts = vocabulary.spelled
        return tuple(tuple(_shown(texts[key]) for key in each) for each in played)

    def cut_off_curves(self, name: str, against: str = "en") -> tuple[SizeCurve, ...]:
        """Return tokens and premium of each language while a tokenizer's list of merges grows.

        Args:
            name: of a tokenizer of byte-pair encoding.
            against: code of the language that stands for 1.

        Raises:
            UserError: if the tokenizer has no merges, or the language is unknown; in hosted mode
                also if it takes longer than a visitor may compute, or two are computed already.
            Cancelled: if the run that asks was cancelled meanwhile.
        """
        every = parallel_text()
        with told_in_words():
            codes = [text.code for text in every]
            if against not in codes:
                raise ValueError(f"language={against!r} is none of them: {', '.join(codes)}")
            vocabulary = self._shelf.get(name)
            with self._allowance.turn("choose a smaller tokenizer") as check:
                return cut_off(vocabulary, every, codes.index(against), check)

    def trained_curves(
        self,
        samples: Mapping[str, str],
        against: str = "en",
        size: int = 4_000,
        *,
        words: bool = True,
    ) -> tuple[SizeCurve, ...]:
        """Return tokens and premium of each language under BPE of its own, by size.

        Args:
            samples: a text to train on by code of each language, equal bytes of which are read.
            against: code of the language that stands for 1.
            size: entries at most.
            words: whether no token goes beyond a word.

        Raises:
            UserError: if a text is too long or too short, or a language unknown; in hosted mode
                also if it takes longer than a visitor may compute, or two are computed already.
        """
        most = HOSTED_MOST_CHARACTERS if self._settings.hosted else MOST_CHARACTERS
        with told_in_words():
            count = sum(map(len, samples.values()))
            if count > 4 * most:
                raise ValueError(
                    f"the texts have {count:,} characters: at most {4 * most:,} are read here"
                )
            with self._allowance.turn("give shorter texts, or fewer languages") as check:
                seconds = self._allowance.at_most(LONGEST_TRAINING_S)
                return trained(
                    samples, parallel_text(), against, size,
                    words=words, check=check, seconds=seconds,
                )  # fmt: skip

    def turkish(self, name: str, text: str | None = None) -> TurkishCount:
        """Return how many tokens of a text are Turkish words, and how many roots or affixes.

        Args:
            name: of the tokenizer.
            text: in Turkish, at most 20,000 characters; the paragraph that is shipped where None.

        Raises:
            UserError: if there is no such tokenizer, or the text is too long or has no letters.
        """
        with told_in_words():
            return turkish(self._shelf.get(name), _turkish_text(text), dictionary())

    def turkish_words(self, text: str | None = None) -> TurkishWords:
        """Return what the dictionary of ``turkish`` knows of the words of a text themselves.

        Args:
            text: as of ``turkish``.

        Raises:
            UserError: if the text is too long or has no letters.
        """
        with told_in_words():
            return words_known(_turkish_text(text), dictionary())

    def samples(self) -> tuple[Sample, ...]:
        """Return texts of several kinds that are at hand, for what compares kinds of text."""
        return own_samples()

    def mixture(self, name: str, samples: Mapping[str, str], merges: int = 200) -> Mixture:
        """Return what the list of merges says about the text that a tokenizer was trained on.

        Args:
            name: of a tokenizer of byte-pair encoding.
            samples: 2 to 8 texts by name, of kinds that may have been in it; about a second for
                every 100,000 characters and 100 merges.
            merges: how many of the first that stand in a sample are looked at, 20 to 1,000.

        Raises:
            UserError: if the tokenizer has no merges, samples are too long, or a number is out of
                range; in hosted mode also if it takes longer than a visitor may compute, or two
                are computed already.
        """
        most = HOSTED_MOST_CHARACTERS if self._settings.hosted else MOST_CHARACTERS
        with told_in_words():
            count = sum(map(len, samples.values()))
            if count > 2 * most:
                raise ValueError(
                    f"the samples have {count:,} characters: at most {2 * most:,} are read here"
                )
            with self._allowance.turn("take fewer merges, or shorter samples") as check:
                return mixture(self._shelf.get(name), samples, merges, check)

    def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Return what a request without a model asks for, at once; nothing is stored.

        Raises:
            UserError: if a tokenizer cannot be had, or nothing can be cut.
        """
        with told_in_words():
            found = {name: self._shelf.get(name) for name in request.tokenizers}
            cancel = CancelToken()
            return tokenize(request, None, 0, lambda _: None, cancel, found)


def _played(pieces: Sequence[list[int]], vocabulary: Vocabulary) -> list[list[int]]:
    """Return all tokens after every merge, one piece after another."""
    now = [list(piece) for piece in pieces]
    found = [[key for piece in now for key in piece]]
    for place, piece in enumerate(pieces):
        for tokens in [*steps(piece, vocabulary.merges)][1:]:
            now[place] = tokens
            found.append([key for each in now for key in each])
    return found


def _turkish_text(text: str | None) -> str:
    """Return a text to be counted in, or the shipped one.

    Raises:
        ValueError: if it is too long or has no letters.
    """
    if text is None:
        return next(each.text for each in parallel_text() if each.code == "tr")
    if len(text) > MOST_CHARACTERS_CUT:
        raise ValueError(
            f"the text has {len(text):,} characters: at most {MOST_CHARACTERS_CUT:,} are read here"
        )
    if not any(map(str.isalpha, text)):
        raise ValueError("the text has no letters: give a text in Turkish")
    return text


def _shown(spelled: bytes) -> str:
    return spelled.decode("utf-8", "tokenarium_hexadecimal")
