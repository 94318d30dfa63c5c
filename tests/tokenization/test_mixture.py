"""What a list of merges says about training: known shares are found again."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tests.tokenization.toys import bpe, sentencepiece
from tokenarium.backend.tokenization.languages import parallel_text
from tokenarium.backend.tokenization.mixture import mixture
from tokenarium.backend.tokenization.pair_counts import PairCounts, merged_once, weights_of
from tokenarium.backend.tokenization.training import train
from tokenarium.backend.tokenization.vocabulary import Vocabulary

SHARES = {"en": 0.7, "de": 0.2, "tr": 0.1}
MERGES = 80


def text_of(code: str, size: int, seed: int) -> str:
    """Return sentences of the words of a language's paragraph, some of them more often."""
    words = sorted(set(next(t.text for t in parallel_text() if t.code == code).split()))
    np.random.default_rng(9).shuffle(words)
    often = 1 / (np.arange(len(words)) + 3.0)
    draw, found, length = np.random.default_rng(seed), [], 0
    while length < size:
        found.append(" ".join(draw.choice(words, 8, p=often / often.sum())) + ".\n")
        length += len(found[-1].encode())
    return "".join(found)


def trained(text: str) -> Vocabulary:
    return train(text, "bpe", 256 + MERGES, words=True, name="given/x", title="x")


def test_known_shares_are_recovered_from_other_texts() -> None:
    known = "".join(text_of(code, int(60_000 * share), 1) for code, share in SHARES.items())
    result = mixture(trained(known), {code: text_of(code, 12_000, 2) for code in SHARES}, MERGES)
    assert result.shares == pytest.approx([*SHARES.values()], abs=0.05)
    assert result.shares.sum() == pytest.approx(1)
    assert (result.low <= result.high).all()
    assert (result.high - result.low).max() < 0.1
    assert result.explained == 1
    assert (result.merges, result.unseen) == (MERGES, 0)
    assert result.bound <= result.slack < result.equal_slack / 4


def test_the_training_text_itself_needs_no_slack() -> None:
    samples = {"de": text_of("de", 9_000, 3), "fr": text_of("fr", 3_000, 4)}
    result = mixture(trained("".join(samples.values())), samples, MERGES)
    assert result.slack == pytest.approx(0, abs=1e-3)
    assert result.shares == pytest.approx([0.75, 0.25], abs=0.02)


def test_merges_that_no_sample_with_a_share_has_are_said() -> None:
    latin = {code: text_of(code, 3_000, 5) for code in ("en", "de")}
    result = mixture(
        trained(text_of("ru", 9_000, 6)), {**latin, "ru": text_of("ru", 3_000, 7)}, MERGES
    )
    assert result.shares[2] == pytest.approx(1, abs=0.02)
    assert result.stands[2] == 1
    assert result.stands[:2].max() < 0.1


def test_counts_follow_merges() -> None:
    """abab twice and bab once: against counting anew after each merge."""
    words, times = [(0, 1, 0, 1), (1, 0, 1), (0, 0, 0)], [2, 1, 3]
    pairs = PairCounts(words, np.array(times, float)[:, None, None])
    assert pairs.of((0, 1)).item() == 5
    assert pairs.of((1, 0)).item() == 3
    for pair, token in (((0, 1), 2), ((2, 2), 3), ((0, 0), 4)):
        pairs.merge(pair, token)
        words = [merged_once(word, pair, token) for word in words]
        anew: Counter[tuple[int, int]] = Counter()
        for word, number in zip(words, times, strict=True):
            for each in pairwise(word):
                anew[each] += number
        assert {p: c.item() for p, c in zip(pairs.pairs, pairs.counts, strict=True) if c} == anew
    assert words == [(3,), (1, 2), (4, 0)]


def test_draws_are_of_whole_sentences_and_the_first_is_the_sample() -> None:
    weights = weights_of([[{0: 2, 1: 1}, {1: 1}], [{2: 1}]], 3, 50, 0)
    assert weights[:, 0].tolist() == [[2, 0], [2, 0], [0, 1]]
    first, second = weights[0, 1:, 0] / 2, weights[1, 1:, 0] - weights[0, 1:, 0] / 2
    assert (first + second == 2).all()
    assert set(first.tolist()) == {0, 1, 2}
    assert (weights[2, :, 1] == 1).all()


def test_words_are_split_where_the_file_does_not_say_how() -> None:
    text = "the old king and the old queen saw it."
    result = mixture(sentencepiece(), {"a": text * 3, "b": "it saw the queen, the king. " * 4}, 20)
    assert "declares no words" in result.notes[0]


@pytest.mark.parametrize(
    ("samples", "merges", "words"),
    [
        ({"a": "x"}, 20, "1 samples are given"),
        ({"a": "ab ab", "b": ""}, 20, "the sample 'b' is empty"),
        ({"a": "ab", "b": "ba"}, 5, "merges=5"),
        ({"a": "b", "b": "b"}, 20, "no merge of this tokenizer leads"),
    ],
)
def test_what_cannot_be_inferred_is_refused(
    samples: dict[str, str], merges: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        mixture(bpe([("a", "b")], "abx"), samples, merges)


def test_endless_words_are_refused() -> None:
    with pytest.raises(ValueError, match="merges beyond words"):
        mixture(bpe([("a", "b")]), {"a": "ab" * 2_000, "b": "ba"}, 20)
