"""The Heads page's answers: sorted, searched, one head by its address, and what is refused."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_lab
from tests.ui.test_sentence import words
from tokenarium.backend import (
    DEFAULT_MODEL,
    MEASURED,
    HeadCorpus,
    Lab,
    UserError,
    measured_models,
    usual_heads,
)
from tokenarium.ui.heads.answer import MOST_ROWS, answer, heads_html
from tokenarium.ui.heads.search import EXAMPLE, found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def corpus(lab: Lab) -> HeadCorpus:
    [about] = [each for each in measured_models(lab.settings) if each.model == DEFAULT_MODEL]
    shipped = usual_heads(lab.settings, about.fingerprint)
    assert shipped is not None
    return shipped


def listed(html: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in re.findall(r">layer (\d+), head (\d+)</button>", html)]


@pytest.mark.parametrize("by", MEASURED)
def test_heads_are_sorted_by_the_measure_asked_for(corpus: HeadCorpus, by: str) -> None:
    mean = corpus.mean[MEASURED.index(by)]
    for low in (False, True):
        heads = listed(heads_html(corpus, by, "", low=low))
        values = [mean[place] for place in heads]
        assert len(heads) == MOST_ROWS
        assert values == sorted(values, reverse=not low)
        assert values[0] == (mean.min() if low else mean.max())


def test_a_search_finds_limits_places_and_words(corpus: HeadCorpus) -> None:
    sink, previous = (corpus.mean[MEASURED.index(name)] for name in ("sink", "previous"))
    both = found(corpus, "sink>0.5 previous<0.1", 0)
    np.testing.assert_array_equal(both, (sink > 0.5) & (previous < 0.1))
    assert 0 < both.sum() < both.size
    assert np.argwhere(found(corpus, "layer=3 head=5", 0)).tolist() == [[3, 5]]
    assert found(corpus, EXAMPLE, 0).any(), "what the empty field suggests finds something"
    word = corpus.about.texts[corpus.strongest[0, 4, 1]].split()[3]
    assert found(corpus, word.replace("<", ""), 0)[4, 1] or set(word) & set("<>=")
    assert not found(corpus, "nosuchword", 0).any()
    with pytest.raises(UserError, match="sinks>2 is no term"):
        found(corpus, "sinks>2", 0)


def test_an_address_opens_one_head_with_all_its_measures(lab: Lab, corpus: HeadCorpus) -> None:
    shown = answer(lab, {"model": DEFAULT_MODEL, "layer": 3, "head": 5, "number": 7})
    assert shown["number"] == 7
    said = words(shown["head"])
    assert "Layer 3, head 5" in said
    for number in range(len(MEASURED)):
        assert f"{corpus.mean[number, 3, 5]:.3f}" in said
    assert "./?run=example-first-token&amp;layer=3&amp;head=5" in shown["head"]


@pytest.mark.parametrize(
    "asked",
    [{}, {"layer": -1, "head": "x", "by": 3, "find": None}, {"layer": 99, "head": 99, "order": []}],
)
def test_what_a_browser_cannot_mean_is_as_if_left_out(lab: Lab, asked: Any) -> None:
    shown = answer(lab, asked)
    assert shown["head"] == ""
    assert shown["by"] == "sink"
    assert len(listed(shown["table"])) == MOST_ROWS


def test_a_model_that_is_not_measured_is_answered_with_the_command(lab: Lab) -> None:
    shown = answer(lab, {"model": "<b>x</b>"})
    assert shown["refused"]
    assert "&lt;b&gt;x&lt;/b&gt; is not measured here" in shown["said"]
    assert "python app.py heads" in shown["said"]
    assert "no term" in answer(lab, {"find": "layer>x"})["table"]
