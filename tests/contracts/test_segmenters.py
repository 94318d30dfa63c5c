"""What holds for every segmenter under every kind of vocabulary, whatever it does."""

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, bundled, sentencepiece
from tokenarium.backend.tokenization.segmentation import read, segmentation_of
from tokenarium.backend.tokenization.segmenter import Segmenter
from tokenarium.backend.tokenization.vocabulary import Vocabulary

SEGMENTERS = [s for s in Segmenter.registry.all() if s.__module__.startswith("tokenarium.")]
VOCABULARIES = {"byte_level": bundled(), "sentencepiece": sentencepiece()}
every = pytest.mark.parametrize("segmenter", SEGMENTERS, ids=lambda found: found.slug)
kinds = pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))


@every
def test_a_segmenter_declares_itself(segmenter: type[Segmenter]) -> None:
    assert segmenter.explanation.endswith(".")
    assert segmenter.paper
    for name, field in segmenter.model_fields.items():
        assert field.description, name


@every
@kinds
@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_back_the_bytes_and_spans_tile_the_text(
    segmenter: type[Segmenter], vocabulary: Vocabulary, text: str
) -> None:
    reading = read(vocabulary, text)
    cut = segmentation_of(reading, segmenter().segment(reading, 3))
    spelled = b"".join(vocabulary.spelled[key] for key in cut.ids)
    assert spelled == b" " * reading.added + text.encode()
    pieces = [reading.source[start:stop] for start, stop in cut.spans]
    assert b"".join(pieces) == text.encode()
    for key, piece in zip(cut.ids, pieces, strict=True):
        assert vocabulary.spelled[key].endswith(piece)
    np.testing.assert_array_equal(cut.spans[1:, 0], cut.spans[:-1, 1])


@every
@kinds
def test_units_are_all_of_the_tokens_and_joined_only_by_those_that_say_so(
    segmenter: type[Segmenter], vocabulary: Vocabulary
) -> None:
    reading = read(vocabulary, TEXTS[1] * 2)
    ids = segmenter().segment(reading, 3)
    units = segmenter().units(reading, ids)
    assert sum(units) == len(ids)
    assert min(units) >= 1
    assert (len(units) < len(ids)) == segmenter.joins


@every
def test_a_segmenter_draws_if_and_only_if_it_says_so(segmenter: type[Segmenter]) -> None:
    reading = read(bundled(), TEXTS[1] * 4)
    cuts = {tuple(segmenter().segment(reading, seed)) for seed in range(4)}
    assert (len(cuts) > 1) == segmenter.draws
    assert tuple(segmenter().segment(reading, 2)) in cuts


def test_a_wrong_segmenter_is_refused() -> None:
    reading = read(bundled(), TEXTS[0])
    wrong = [*reading.native[:-1], reading.native[0]]
    with pytest.raises(ValueError, match="do not spell the text"):
        segmentation_of(reading, wrong)
