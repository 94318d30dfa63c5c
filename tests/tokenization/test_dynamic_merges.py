"""Units whose tokens a model reads as one vector: by hand, and against passes one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.tokenization.toys import SETTINGS, TEXTS, bpe, bundled, sentencepiece
from tests.trace.conftest import Twins, twins
from tokenarium.backend import Lab, SegmenterSpec, TokenizeRequest
from tokenarium.backend.tokenization.merged_scoring import merged_surprisals, nodes_of
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.segmenters.dynamic_merges import (
    DynamicMerges,
    commonest,
    first_joined,
    joined,
)
from tokenarium.backend.tokenization.segmenters.whole_words import WholeWords
from tokenarium.backend.tokenization.vocabulary import Vocabulary

__all__ = ["twins"]

DRAFT = "bundled/draft"
TEXT = "The seaweed and the seawater saw seaweed; Seaweed"
UNITS = ("native", SegmenterSpec("dynamic_merges", share=0.0), "dynamic_merges", "whole_words")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(SETTINGS) as made:
        yield made


@pytest.mark.parametrize("vocabulary", [bundled(), sentencepiece()], ids=["bytes", "pieces"])
@pytest.mark.parametrize("text", TEXTS)
def test_units_lie_between_tokens_and_words(vocabulary: Vocabulary, text: str) -> None:
    reading = read(vocabulary, text)
    counts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        method = DynamicMerges(share=share)
        ids = method.segment(reading, 0)
        assert tuple(ids) == reading.native
        units = method.units(reading, ids)
        assert sum(units) == len(ids)
        counts.append(len(units))
    words = WholeWords().units(reading, ids)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(ids)
    assert units == words
    saved = [counts[0] - count for count in counts]
    for number, share in enumerate((0, 0.25, 0.5, 0.75, 1)):
        assert saved[number] >= share * saved[-1]


def test_the_commonest_neighbours_go_first_by_hand() -> None:
    """In abab ab: a b stands three times and becomes one; then (ab, ab), the only pair left."""
    often = {(0, 1, 0, 1): 1, (0, 1): 1}
    units = {word: tuple((key,) for key in word) for word in often}
    pair, times = commonest(units, often)
    assert (pair, times) == (((0,), (1,)), 3)
    units = {word: joined(now, pair) for word, now in units.items()}
    assert units == {(0, 1, 0, 1): ((0, 1), (0, 1)), (0, 1): ((0, 1),)}
    assert joined(((7,), (7,), (7,)), ((7,), (7,))) == ((7, 7), (7,))
    assert first_joined({(0, 1, 2): ((0,), (1,), (2,))}, 1) == {(0, 1, 2): ((0, 1), (2,))}


def test_merges_are_those_of_the_text_by_hand() -> None:
    """Words aab, ab, ab: a b stands three times, a space and ab then twice; words save six."""
    reading = read(bpe([], "Ġab"), "aab ab ab")
    assert WholeWords().units(reading, reading.native) == [3, 3, 3]
    cut = {
        share: DynamicMerges(share=share).units(reading, reading.native)
        for share in (0, 0.1, 0.5, 0.6, 0.9)
    }
    assert cut == {
        0: [1] * 9,
        0.1: [1, 2, 1, 2, 1, 2],
        0.5: [1, 2, 1, 2, 1, 2],
        0.6: [1, 2, 3, 3],
        0.9: [3, 3, 3],
    }


def test_what_is_read_of_units_by_hand() -> None:
    """Of a, b c d, e: after a stand b, c behind b, and the mean of all three; then e."""
    found = nodes_of([1, 3, 1])
    assert found.spans == ((0, 1), (1, 2), (2, 3), (1, 4), (4, 5))
    assert found.parents == (-1, 0, 1, 0, 3)
    assert found.before == (-1, 0, 1, 2, 3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_each_token_costs_what_a_pass_of_its_own_says(family: str, twins: Twins) -> None:
    loaded, oracle = twins(family)
    ids, units, before = [7, 5, 9, 9, 12, 5, 9, 3, 8], [2, 1, 3, 1, 2], [1]
    found = merged_surprisals(loaded, ids, units, before, lambda: None)
    read_as = oracle.get_input_embeddings()
    with torch.no_grad():
        past, place = [read_as(torch.tensor(before))], 0
        for size in units:
            own = read_as(torch.tensor(ids[place : place + size]))
            for inside in range(size):
                text = torch.cat([*past, own[:inside]])[None]
                nats = -oracle(inputs_embeds=text).logits[0, -1].log_softmax(-1)
                expected = float(nats[ids[place + inside]])
                assert found[place + inside] == pytest.approx(expected, abs=2e-4)
            past.append(own.mean(0, keepdim=True))
            place += size


def test_a_model_that_reads_no_vectors_beside_each_other_is_refused(twins: Twins) -> None:
    loaded, _ = twins("bloom")
    with pytest.raises(ValueError, match="bloom"):
        merged_surprisals(loaded, [7, 5, 9], [2, 1], [1], lambda: None)


def test_more_vectors_than_are_read_are_refused(twins: Twins) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match="7,500 vectors, at most 4,096"):
        merged_surprisals(loaded, [5] * 7_500, [3] * 2_500, [1], lambda: None)


def test_a_run_says_units_and_costs(lab: Lab) -> None:
    result = lab.run(
        TokenizeRequest(model=DRAFT, text=TEXT, tokenizers=(DRAFT,), segmenters=UNITS)
    ).result
    assert result.units is not None
    assert result.unit is not None
    assert result.units[0] == result.units[1] == result.tokens[0]
    assert result.units[1] > result.units[2] > result.units[3]
    rows = [result.surprisal_nats[result.segmentation == n] for n in range(4)]
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-4)
    assert np.abs(rows[3] - rows[0]).max() > 0.01
    first = np.diff(result.unit[result.segmentation == 3], prepend=-1) > 0
    expected = (rows[3] - rows[0])[first].mean()
    assert result.more_at_starts(3) == pytest.approx(expected, abs=1e-5)
    assert abs(result.more_at_starts(1)) < 1e-4
    assert result.canonical.all()
