"""What noise leaves of a segmentation: by hand, and against bytes that are followed one by one."""

import numpy as np
import pytest

from tests.tokenization.toys import TEXTS, bpe, bundled, tokenizers
from tokenarium.backend import UserError
from tokenarium.backend.tokenization.noise import (
    Edit,
    Ratio,
    agreement,
    blocks,
    noised,
    ratio,
    stability,
)
from tokenarium.backend.tokenization.segmentation import read, segmentation_of

PROSE = "The old king went down to the sea and told nobody of the corner where he hid it.\n" * 6


def spans(*ends: int) -> np.ndarray:
    return np.array([*zip((0, *ends), ends, strict=False)], np.int64).reshape(-1, 2)


def test_what_a_scanner_misreads_by_hand() -> None:
    assert noised("corn", "ocr", 1) == ("com", (Edit(2, 4, 2, 3),))
    assert noised("é10", "ocr", 1) == ("élO", (Edit(2, 3, 2, 3), Edit(3, 4, 3, 4)))
    assert noised(PROSE, "ocr", 0) == (PROSE, ())


@pytest.mark.parametrize("noise", ["ocr", "typed"])
@pytest.mark.parametrize("text", [*TEXTS, PROSE])
def test_edits_are_all_that_is_other(noise: str, text: str) -> None:
    wrong, edits = noised(text, noise, 0.4, seed=2)
    clean, dirty, place, there = text.encode(), wrong.encode(), 0, 0
    for edit in edits:
        assert clean[place : edit.start] == dirty[there : edit.new_start]
        assert clean[edit.start : edit.stop] != dirty[edit.new_start : edit.new_stop]
        assert edit.stop > edit.start
        assert edit.new_stop > edit.new_start
        place, there = edit.stop, edit.new_stop
    assert clean[place:] == dirty[there:]
    assert noised(text, noise, 0.4, seed=2) == (wrong, edits)


def test_boundaries_in_common_by_hand() -> None:
    """co|rn|er against co|me|r, where m was rn: of 2, 4 the first stands, and r begins anew."""
    found = agreement(spans(2, 4, 6), spans(2, 4, 5), [Edit(2, 4, 2, 3)])
    assert found == (1, 3, 2, 4)
    assert agreement(spans(2, 4, 6), spans(2, 3, 5), [Edit(2, 4, 2, 3)]) == (2, 2, 1, 2)
    # A boundary inside of what was replaced has no counterpart.
    assert agreement(spans(3, 6), spans(2, 4, 5), [Edit(2, 4, 2, 3)]) == (0, 3, 2, 6)
    assert agreement(spans(2, 4), spans(2, 4), []) == (1, 1, 0, 0)


@pytest.mark.parametrize("seed", range(24))
def test_agreement_is_that_of_bytes_followed_one_by_one(seed: int) -> None:
    text = "corner mill llm vvow close 10 O0 é naïve clam"
    wrong, edits = noised(text, "ocr" if seed % 2 else "typed", 0.15, seed)
    draw = np.random.default_rng(seed)

    def cut(size: int) -> np.ndarray:
        inner = np.flatnonzero(draw.random(size - 1) < 0.4) + 1
        return spans(*inner.tolist(), size)

    clean, dirty = cut(len(text.encode())), cut(len(wrong.encode()))
    # Each boundary of the clean text by its name in the noised one, or by a name of its own.
    name: dict[int, object] = {}
    shift = 0
    for place in range(len(text.encode()) + 1):
        shift = sum(
            (e.new_stop - e.new_start) - (e.stop - e.start) for e in edits if e.stop <= place
        )
        inside = any(e.start < place < e.stop for e in edits)
        name[place] = ("lost", place) if inside else place + shift
    old = {name[end] for end in clean[:-1, 1].tolist()}
    new = {*dirty[:-1, 1].tolist()}
    whole = {(name[a], name[b]) for a, b in clean.tolist()}
    hit = {
        (name[a], name[b]) for a, b in clean.tolist()
        if any(e.start < b and a < e.stop for e in edits)
    }  # fmt: skip
    gone = whole - {*map(tuple, dirty.tolist())} | hit
    sizes = {(name[a], name[b]): b - a for a, b in clean.tolist()}
    found = agreement(clean, dirty, edits)
    assert found == (len(old & new), len(old | new), len(gone), sum(sizes[g] for g in gone))


def test_finer_cuts_lose_less() -> None:
    """Single bytes lose none but what was replaced; whole words lose all that they were."""
    letters = bpe([], "".join(map(chr, range(0x21, 0x7F))) + "ĠĊ")
    fine, coarse = (stability(each, PROSE, "typed", 0.05) for each in (letters, bundled()))
    assert fine.errors == coarse.errors > 10
    assert fine.boundaries.value > coarse.boundaries.value
    assert fine.recut.value < 1.6 < coarse.recut.value
    assert coarse.boundaries.low < coarse.boundaries.value < coarse.boundaries.high < 1
    assert coarse.tokens.value >= 0.9


def test_stability_adds_up_over_blocks() -> None:
    vocabulary, rows = bundled(), []
    for number, block in enumerate(blocks(PROSE)):
        wrong, edits = noised(block, "ocr", 0.1, 3 + number)
        cuts = [read(vocabulary, each) for each in (block, wrong)]
        both = [segmentation_of(each, each.native).spans for each in cuts]
        rows.append((*agreement(*both, edits), len(edits)))
    common, either, tokens, recut, errors = map(sum, zip(*rows, strict=True))
    found = stability(vocabulary, PROSE, "ocr", 0.1, seed=3)
    assert found.errors == errors
    assert found.boundaries.value == common / either
    assert (found.tokens.value, found.recut.value) == (tokens / errors, recut / errors)


def test_blocks_are_lines_and_all_of_the_text() -> None:
    text = PROSE + "x" * 1_000 + "\n" + "\n" * 300
    assert "".join(blocks(text)) == text
    assert blocks("") == []
    assert max(map(len, blocks(text))) < 800
    assert all(len(block) >= 200 for block in blocks(PROSE)[:-1])


def test_the_interval_of_a_ratio_that_never_changes_is_a_point() -> None:
    assert ratio(np.array([2, 4, 8]), np.array([1, 2, 4])) == Ratio(2, 2, 2)
    found = ratio(np.array([1, 9, 2, 8, 5]), np.array([5, 5, 5, 5, 5]))
    assert found.low < found.value == 1 < found.high
    assert np.isnan(ratio(np.array([3]), np.array([4])).low)


def test_what_noise_cannot_be_asked_is_refused() -> None:
    found = tokenizers()
    name = bundled().name
    assert found.noise(name, PROSE).errors == stability(bundled(), PROSE).errors
    for more, words in (
        ({"noise": "rain"}, "noise='rain' is unknown: choose ocr, typed"),
        ({"share": 2.0}, "share=2.0 is out of range"),
        ({"share": 0.0}, "makes no error in this text"),
        ({"text": ""}, "makes no error in this text"),
        ({"text": "a" * 100_001}, "at most 100,000 are read"),
    ):
        with pytest.raises(UserError, match=words):
            found.noise(name, **{"text": PROSE, **more})
