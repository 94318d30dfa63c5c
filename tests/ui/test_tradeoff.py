"""The trade-off: every point of a sweep is a real run, and drawn where it was measured."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import (
    QUALITY_MEASURES,
    CacheResult,
    Lab,
    Settings,
    SweepRequest,
    SweepResult,
)
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.ui.figures.tradeoff import tradeoff
from tokenarium.ui.pages.cache import Cache
from tokenarium.ui.pages.sweep import PROMPT, Sweep


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


USUAL: dict[str, Any] = {
    "model": "local/llama",
    "text": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND SLEEPS",
    "policies": ["recent", "h2o"],
    "parameters": {"h2o": {"recent_share": 0.25}},
    "sweep_task": PROMPT,
    "sweep_budgets": "0.5, 0.25",
    "sweep_length": 64,
    "sweep_trials": 1,
}


@pytest.fixture
def page(lab: Lab) -> Visit:
    return Visit(lab, Cache)


def swept(page: Visit, **changes: Any) -> dict[str, Any]:
    """Return the last thing that the page is told of a sweep."""
    page.values["sweep_measure"] = "agree"
    return page.run("sweep", **(USUAL | changes))[-1]


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[str, Any]:
    return swept(Visit(lab, Cache))


def sweep_of(shown: dict[str, Any]) -> str:
    return str(shown["selection"]["id"])


def test_every_policy_and_budget_is_a_point(lab: Lab, shown: dict[str, Any]) -> None:
    result = lab.open(sweep_of(shown)).result
    assert isinstance(result, SweepResult)
    assert result.finished
    figure = tradeoff(result, "agree", "bytes")
    assert [trace.name for trace in figure.data] == list(result.titles)
    for number, trace in enumerate(figure.data):
        here = result.policy == number
        expected = sorted(np.float32(result.cache_bytes[here] / 2**20).tolist())
        np.testing.assert_allclose(sorted(trace.x), expected, rtol=1e-6)
    assert "5 of 5 points measured" in words(shown["sweep.sentence"])
    assert words(shown["sweep_table"]).count("MiB") == 5


@pytest.mark.parametrize("measure", QUALITY_MEASURES)
def test_another_measure_is_drawn_from_the_stored_run(
    page: Visit, shown: dict[str, Any], measure: str
) -> None:
    page.open(sweep_of(shown), "sweep")
    page.values["sweep_measure"] = measure
    (points,) = page.page.sections["sweep"].shown
    found = page.handlers.restyle(points, page.asker())
    title = json.loads(found["sweep_bytes"])["layout"]["yaxis"]["title"]["text"]
    assert title == QUALITY_MEASURES[measure].title


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": []}, "policies"),
        ({"policies": ["no such"]}, "no such"),
        ({"sweep_budgets": "half"}, "budgets"),
        ({"sweep_budgets": "2"}, "budgets"),
        ({"sweep_budgets": ""}, "budgets"),
        ({"sweep_task": "no such"}, "no such"),
        ({"text": ""}, "prompts"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line(
    page: Visit, changes: dict[str, object], said: str
) -> None:
    last = swept(page, **changes)
    assert set(last) == {"sweep.status"}
    assert 'role="alert"' in last["sweep.status"]
    assert said in words(last["sweep.status"])


def test_a_sweep_of_an_older_version_is_measured_again_when_it_is_asked_for(
    page: Visit, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, begin = [], Lab.start
    asked = lambda lab, *given, **more: told.append(more["needs"]) or begin(lab, *given, **more)  # noqa: E731
    monkeypatch.setattr(Lab, "start", asked)
    assert sweep_of(swept(page)) == sweep_of(shown)  # this one has it, and is the answer
    assert told == [Sweep.needs]
    assert Sweep.needs <= set(SweepResult.quantities())
    assert all(SweepResult.quantities()[name].since > 1 for name in Sweep.needs)


def test_parameters_of_the_page_are_swept(lab: Lab, shown: dict[str, Any]) -> None:
    request = lab.open(sweep_of(shown)).request
    assert isinstance(request, SweepRequest)
    assert request.policies[1].parameters["recent_share"] == 0.25


def test_the_card_tells_the_sweep(page: Visit, shown: dict[str, Any]) -> None:
    told = words(page.cost("sweep", **USUAL))
    assert "5, each tried once" in told
    assert "from runs of this model on this machine" in told
    assert "no such" in words(page.cost("sweep", sweep_task="no such"))


def test_every_point_opens_as_a_stored_run(
    lab: Lab, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelRegistry, "use", None)  # no model can be had
    result = lab.open(sweep_of(shown)).result
    assert isinstance(result, SweepResult)
    page = Visit(lab, Cache)
    page.open(sweep_of(shown), "sweep")
    figure = tradeoff(result, "agree", "bytes")
    assert figure.layout.meta["opens"] == "point"
    numbers = [int(point[1]) for trace in figure.data for point in trace.customdata]
    assert sorted(numbers) == list(range(len(result.policy)))
    for number in numbers:
        page.every(page.handlers.point(number, page.asker()))
        run = lab.open(page.shown() or "")
        found = run.result
        assert isinstance(found, CacheResult)
        assert found.policies == (result.policies[result.policy[number]],)
        assert np.isnan(found.kl_nats[0, 0])  # the last token of the prompt, which is given
        assert np.nanmean(found.kl_nats) == pytest.approx(result.kl_nats[number], rel=1e-5)
        assert found.budget_tokens == pytest.approx(result.budget_tokens[number])
        (lane,) = page.values["lanes"]["lanes"]
        assert lane["title"] == result.titles[result.policy[number]]
        assert len(lane["texts"]) == found.token_ids.shape[1]
        assert page.shown("sweep") == sweep_of(shown)


@pytest.mark.parametrize("number", [None, True, -1, 99, "1", 0.5])
def test_a_point_that_is_none_opens_nothing(
    page: Visit, shown: dict[str, Any], number: object
) -> None:
    assert list(page.handlers.point(0, page.asker())) == []
    page.open(sweep_of(shown), "sweep")
    assert list(page.handlers.point(number, page.asker())) == []


def test_a_stored_sweep_is_opened_by_its_address_and_gone_without_it(
    page: Visit, shown: dict[str, Any]
) -> None:
    page.boot(f"sweep={sweep_of(shown)}")
    assert page.values["sweep_table"] == shown["sweep_table"]
    assert page.shown("sweep") == sweep_of(shown)
    gone = page.pick(runs={"run": page.shown()})
    assert (gone["sweep_table"], gone["sweep.sentence"]) == (None, "")
    page.boot("sweep=nowhere")
    assert "nowhere" in words(page.status("sweep"))


def test_an_address_of_a_run_and_a_sweep_opens_both(page: Visit, shown: dict[str, Any]) -> None:
    run = page.run(**{**USUAL, "budget": 12, "max_new_tokens": 3})[-1]["selection"]["run"]
    again = Visit(page.handlers.lab, Cache)
    again.boot(f"run={run}&sweep={sweep_of(shown)}")
    assert (again.shown(), again.shown("sweep")) == (run, sweep_of(shown))
    again.pick(run=None, runs={})
    assert again.shown() == again.told["example"]
    both = {"run": run, "sweep": sweep_of(shown)}
    again.pick(run=run, runs=both)
    assert (again.shown(), again.shown("sweep")) == (run, sweep_of(shown))
