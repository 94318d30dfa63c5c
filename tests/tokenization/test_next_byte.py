"""The byte-token lemma against a byte model whose token model is exactly equivalent."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from tests.tokenization.toys import bpe
from tokenarium.backend.tokenization.canonical import CanonicalBpe
from tokenarium.backend.tokenization.next_byte import Context, Ids, next_byte
from tokenarium.backend.tokenization.vocabulary import Vocabulary

LENGTH = 9
VOCABULARY = bpe([("a", "b"), ("b", "a"), ("ab", "a"), ("b", "b"), ("ab", "ab"), ("aba", "b")])


class ByteModel:
    """All strings of nine letters with random weights, and what its tokens' model says."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        draw = np.random.default_rng(5)
        strings = ["".join(letters) for letters in product("ab", repeat=LENGTH)]
        weights = draw.dirichlet(np.full(len(strings), 0.3))
        self.strings = dict(zip(strings, weights, strict=True))
        self.prefixes: defaultdict[Ids, float] = defaultdict(float)
        self.entries = len(vocabulary.entries)
        for string, weight in self.strings.items():
            [ids] = vocabulary.engine.encode([string])
            for size in range(len(ids) + 1):
                self.prefixes[tuple(ids[:size])] += weight

    def context(self, left: Ids) -> Context:
        """Return the token model that is equivalent to the byte model."""
        whole = self.prefixes[left]
        following = [self.prefixes.get((*left, key), 0.0) for key in range(self.entries)]
        with np.errstate(divide="ignore"):
            return Context(float(np.log(whole)), np.log(np.array(following) / whole))

    def next_byte(self, prefix: str) -> np.ndarray:
        found = np.zeros(256)
        for letter in "ab":
            for string, weight in self.strings.items():
                if string.startswith(prefix + letter):
                    found[ord(letter)] += weight
        return found / found.sum()


@pytest.fixture(scope="module")
def model() -> ByteModel:
    return ByteModel(VOCABULARY)


@pytest.mark.parametrize("size", range(1, 7))
def test_the_lemma_is_the_byte_model(model: ByteModel, size: int) -> None:
    canonical, wrong = CanonicalBpe(VOCABULARY), []
    for letters in product("ab", repeat=size):
        prefix = "".join(letters)
        found = next_byte(prefix.encode(), VOCABULARY.spelled, canonical, model.context)
        expected = model.next_byte(prefix)
        np.testing.assert_allclose(found.exact, expected, atol=1e-12)
        assert abs(found.leaked) < 1e-12
        assert sum(cut.share for cut in found.cuts) == pytest.approx(1)
        mass = sum(w for s, w in model.strings.items() if s.startswith(prefix))
        assert found.log_p == pytest.approx(np.log(mass), abs=1e-12)
        wrong.append(np.abs(found.naive - expected).max())
    assert max(wrong) > 0.2


def test_what_a_model_gives_to_other_segmentations_is_leaked(model: ByteModel) -> None:
    """Every token gets a little, also those that the tokenizer would never put there."""

    def leaking(left: Ids) -> Context:
        said = model.context(left)
        mixed = 0.9 * np.exp(said.next_log_p) + 0.1 / model.entries
        return Context(0.0 if not left else said.log_p, np.log(mixed))

    found = next_byte(b"ab", VOCABULARY.spelled, CanonicalBpe(VOCABULARY), leaking)
    assert 0.001 < found.leaked < 0.2
    assert found.exact.sum() == pytest.approx(1)


def test_canonical_is_what_encoding_again_gives() -> None:
    canonical = CanonicalBpe(VOCABULARY)
    tokens: Sequence[int] = list(VOCABULARY.entries)
    for size in range(1, 6):
        for letters in product("ab", repeat=size):
            prefix = "".join(letters)
            left = canonical.left(prefix.encode())
            for key, follows in zip(
                tokens, canonical.follows(left, prefix.encode(), tokens), strict=True
            ):
                [again] = VOCABULARY.engine.encode([prefix + VOCABULARY.entries[key]])
                assert follows == (tuple(again) == (*left, key))
