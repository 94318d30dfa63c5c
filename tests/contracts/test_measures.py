"""What every registered measure of a text must declare, refuse and deliver."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import numpy as np
import pytest

import tokenarium.backend.judging.measures
from tests.trace.conftest import letters, twins
from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.judging.request import JudgeRequest, MeasureSpec
from tokenarium.backend.judging.result import JudgeResult
from tokenarium.backend.judging.runner import judge
from tokenarium.backend.runs.events import CancelToken

__all__ = ["letters", "twins"]

MEASURES = [m for m in Measure.registry.all() if m.__module__.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.slug)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)
FAMILIES = ("llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss")


def run(loaded: Any, measure: type[Measure], text: str) -> JudgeResult:
    request = JudgeRequest(model="tiny", text=text, measures=[measure.slug])
    return judge(request, loaded, 2048, lambda _: None, CancelToken())


def out_of_bounds(measure: type[Measure]) -> Iterator[tuple[str, object]]:
    for name, field in measure.model_fields.items():
        for bound in field.metadata:
            if isinstance(bound, annotated_types.Ge):
                yield name, bound.ge - 1
            if isinstance(bound, annotated_types.Gt):
                yield name, bound.gt
            if isinstance(bound, annotated_types.Le):
                yield name, bound.le + 1


def test_every_file_of_the_family_is_one_measure() -> None:
    folder = Path(tokenarium.backend.judging.measures.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {measure.__module__.rpartition(".")[2] for measure in MEASURES} == files
    assert len(MEASURES) == len(files) >= 6


@EVERY
def test_it_declares_all_that_the_page_shows(measure: type[Measure]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", measure.slug)
    assert len(measure.short) <= 20
    assert SENTENCE.fullmatch(measure.explanation)
    assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}", measure.paper)
    for said in (measure.each_title, measure.each_formula, measure.formula, measure.interval):
        assert said
    assert measure.null_formula
    for name, field in measure.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name
        assert not field.is_required(), f"{name} has no default"
        if field.annotation in (int, float):
            assert any(name == given for given, _ in out_of_bounds(measure)), f"{name} is unbounded"


@EVERY
def test_it_refuses_what_is_out_of_bounds_by_name(measure: type[Measure]) -> None:
    for name, value in out_of_bounds(measure):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            MeasureSpec(measure.slug, {name: value})
    with pytest.raises(ValueError, match="colour='red'"):
        MeasureSpec(measure.slug, colour="red")


@EVERY
@pytest.mark.parametrize("family", FAMILIES)
def test_it_delivers_a_whole_result_twice_the_same(twins, letters, measure, family) -> None:
    loaded, _ = twins(family)
    found, again = (run(loaded, measure, letters(50)) for _ in range(2))
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)
    sizes = {"M": 1, "T": len(found.token_ids), "N": 0}
    for name, quantity in found.quantities().items():
        if isinstance(value := getattr(found, name), np.ndarray):
            assert value.shape == tuple(sizes[axis] for axis in quantity.axes.split(",")), name
    assert np.isfinite(found.score).all()
    assert not found.marked[:, ~found.judged].any()
    assert np.isnan(found.token_score[:, ~found.judged]).all()
    assert set(found.details[measure.slug]) <= set(measure.details)
    low, high = found.score_low[0], found.score_high[0]
    assert np.isnan(low) or low <= high
    assert found.null_low[0] <= found.null_high[0]
    assert 0 < found.null_at_least[0] <= 1
    assert JudgeResult.from_stored(found.facts(), found.arrays()).facts() == found.facts()


@EVERY
def test_it_judges_three_tokens_or_says_why_not(twins, measure) -> None:
    loaded, _ = twins("llama")
    found = run(loaded, measure, "abc")
    assert np.isfinite(found.score[0]) or found.notes
