"""What every registered reduction must declare, refuse, and leave as it was."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokenarium.backend.reduction.methods
from tests.contracts.test_interventions import out_of_bounds
from tests.reduction.conftest import run
from tests.trace.conftest import letters, twins
from tokenarium.backend import Lab
from tokenarium.backend.reduction.reduction import Reduction
from tokenarium.backend.reduction.request import ReduceRequest, ReductionSpec
from tokenarium.backend.reduction.result import ReduceResult
from tokenarium.backend.reduction.runner import reduce
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.ui.figures.reduction import loss_by_cost

__all__ = ["letters", "twins"]

METHODS = [
    method
    for method in Reduction.registry.all()
    if method.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.slug)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)
QUICK: dict[str, dict[str, Any]] = {
    "duo_llm": {"groups": 2},
    "evopress": {"generations": 2, "offspring": 4},
}
"""Parameters that make a method quick."""


@pytest.fixture(scope="module")
def results(twins: Any) -> dict[str, ReduceResult]:
    loaded, _ = twins("llama")
    return {
        method.slug: run(loaded, method.slug, tokens=24, **QUICK.get(method.slug, {}))
        for method in METHODS
    }


def test_every_file_of_the_family_is_one_method() -> None:
    folder = Path(tokenarium.backend.reduction.methods.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {method.__module__.rpartition(".")[2] for method in METHODS} == files
    assert len(METHODS) == len(files) >= 1
    assert [m.slug for m in Lab.methods("reduction")] == [m.slug for m in METHODS]


@EVERY
def test_a_reduction_declares_what_the_page_shows(method: type[Reduction]) -> None:
    assert SENTENCE.fullmatch(method.explanation)
    assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}", method.paper)
    assert method.cost_title[0].islower() or method.cost_title.startswith("MLP")
    assert all(SENTENCE.fullmatch(each) for each in method.series.values())
    assert method.exact in ("", *method.series)
    assert 1 <= method().readings(2) < 100_000
    for name, field in method.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name


@EVERY
def test_a_reduction_refuses_what_is_out_of_bounds(method: type[Reduction]) -> None:
    for name, value in out_of_bounds(method):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=name):
            ReductionSpec(method.slug, {name: value})
    with pytest.raises(ValueError, match="unknown"):
        ReductionSpec(method.slug, {"unknown": 1})


@EVERY
def test_points_are_whole_and_what_computes_everything_is_the_model(
    results: dict[str, ReduceResult], method: type[Reduction]
) -> None:
    result = results[method.slug]
    assert result.series == tuple(method.series)
    assert set(result.point_series) <= set(range(len(result.series)))
    assert (result.cost > 0).all()
    assert (result.cost <= 1 + 1e-9).all()
    assert (result.computed >= 0).all()
    assert (result.computed <= 1).all()
    losses = result.token_nats[:, 1:].astype(np.float64)
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses.mean(1), result.loss_nats, atol=1e-5)
    whole = (result.computed == 1).all((1, 2))
    assert whole.any(), "no point computes everything"
    expected = np.broadcast_to(result.dense_token_nats[1:], losses[whole].shape)
    np.testing.assert_allclose(losses[whole], expected, atol=1e-5)
    np.testing.assert_allclose(result.cost[whole], 1)
    for place, other in enumerate(result.beside):
        more = result.loss_nats[other] - result.loss_nats[result.chosen]
        assert result.difference_nats[place] == pytest.approx(more, abs=1e-6)
        assert result.difference_low_nats[place] <= more <= result.difference_high_nats[place]
    assert result.readings <= method(**QUICK.get(method.slug, {})).readings(3) + 7


@EVERY
def test_an_exact_curve_is_below_every_other(
    results: dict[str, ReduceResult], method: type[Reduction]
) -> None:
    result = results[method.slug]
    if not result.exact:
        return
    assert result.enumerated > 1
    best = result.of_series(result.exact)
    for cost, loss in zip(result.cost, result.loss_nats, strict=True):
        within = best[result.cost[best] <= cost + 1e-9]
        assert result.loss_nats[within].min() <= loss + 1e-6


@EVERY
def test_a_run_is_cancelled_under_way(twins: Any, method: type[Reduction]) -> None:
    loaded, _ = twins("llama")
    cancel = CancelToken()

    def stop(event: Any) -> None:
        if event.done > 20:
            cancel.cancel()

    request = ReduceRequest(model="tiny", reduction=method.slug, tokens=24)
    with pytest.raises(Cancelled):
        reduce(request, loaded, 2048, stop, cancel)


def test_a_curve_without_models_is_not_drawn(twins: Any) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, "cats", tokens=16)
    fewer = replace(result, series=(*result.series, "nothing enumerated"))
    names = [line.name for line in loss_by_cost(fewer).data]
    assert names == [*result.series, "nothing cut"]


def test_texts_and_limits_are_refused_in_words(twins: Any) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match="the text is 3 tokens, the least is 16"):
        run(loaded, "cats", text="AB")
    request = ReduceRequest(model="tiny", tokens=64)
    with pytest.raises(ValueError, match="tokens=64 is above the limit of 32"):
        reduce(request, loaded, 32, lambda _: None, CancelToken())
    own = run(loaded, "cats", tokens=20, text="ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert "".join(own.token_text[1:]) == "ABCDEFGHIJKLMNOPQRS"
    assert "the last 7 were cut" in " ".join(own.notes)
