"""A word of thousands of characters costs about as much as its length, not as its square."""

import tracemalloc

import pytest

from tests.labs import shipped_store
from tokenarium import Lab, Settings
from tokenarium.backend.errors import UserError
from tokenarium.backend.tokenization.bpe import merged, steps
from tokenarium.backend.tokenization.facade import MOST_PLAYED
from tokenarium.backend.tokenization.vocabulary import Merge

PAIRS = 2_000
MERGES = {(0, 1): Merge(0, 2), (2, 2): Merge(1, 3)}


def test_a_long_piece_is_merged_without_a_copy_at_each_merge():
    tracemalloc.start()
    try:
        found = merged([0, 1] * PAIRS, MERGES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [3] * (PAIRS // 2)
    # A list at each of 3,000 merges would be of 24 to 32 kB: some 60 MB together.
    assert peak < 8e6


def test_the_last_step_is_what_is_merged():
    played = [*steps([0, 1, 0, 1, 1], MERGES)]
    assert played == [[0, 1, 0, 1, 1], [2, 0, 1, 1], [2, 2, 1], [3, 1]]
    assert merged([0, 1, 0, 1, 1], MERGES) == played[-1]


def test_merges_of_a_word_that_is_too_long_are_not_played():
    with Lab(Settings(database=shipped_store(), fetch=False)) as lab:
        assert len(lab.tokenizers.merge_steps("bundled/draft", "ab")) >= 1
        with pytest.raises(UserError, match=r"has 1,001 characters: merges of at most 1,000"):
            lab.tokenizers.merge_steps("bundled/draft", "a" * (MOST_PLAYED + 1))
