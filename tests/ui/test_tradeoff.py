"""The trade-off: every point of a sweep is a real run, and drawn where it was measured."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.models.conftest import save_model
from tests.ui.test_sentence import words
from tokenarium.backend import CacheResult, Lab, Run, Settings, SweepRequest, SweepResult
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.ui.figures.tradeoff import MEASURES, tradeoff
from tokenarium.ui.pages.cache import Asked, CachePage
from tokenarium.ui.pages.tradeoff import PROMPT, Tradeoff

VISITOR: Any = SimpleNamespace(cookies={}, session_hash="s", query_params={})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    settings = Settings(
        database="duckdb:///:memory:", models_dir=folder, device="cpu", hosted=False
    )
    with Lab(settings) as made:
        yield made


def asked(**changes: Any) -> dict[str, Any]:
    page: dict[str, Any] = {
        "model": "local/llama",
        "prompt": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND SLEEPS",
        "policies": ["recent", "h2o"],
        "parameters": {"h2o": {"recent_share": 0.25}},
    }
    unused: dict[str, Any] = {"budget": 1, "unit": "tokens", "new_tokens": 1, "oracle": True}
    values: dict[str, object] = {
        "asked": Asked(**page | unused | {n: v for n, v in changes.items() if n in page}),
        "task": PROMPT,
        "budgets": "0.5, 0.25",
        "length": 64,
        "trials": 1,
        "measure": "agree",
    }
    return values | {name: value for name, value in changes.items() if name not in page}


@pytest.fixture(scope="module")
def shown(lab: Lab) -> dict[str, Any]:
    return list(Tradeoff(lab).run(asked(), VISITOR))[-1]


def test_every_policy_and_budget_is_a_point(lab: Lab, shown: dict[str, Any]) -> None:
    result = lab.open(shown["sweep_run"]).result
    assert isinstance(result, SweepResult)
    assert result.finished
    figure = tradeoff(result, "agree", "bytes")
    assert [trace.name for trace in figure.data] == list(result.titles)
    for number, trace in enumerate(figure.data):
        here = result.policy == number
        expected = sorted(np.float32(result.cache_bytes[here] / 2**20).tolist())
        np.testing.assert_allclose(sorted(trace.x), expected, rtol=1e-6)
    assert "5 of 5 points measured" in words(shown["sweep_said"])
    assert words(shown["sweep_table"]).count("MiB") == 5


@pytest.mark.parametrize("measure", MEASURES)
def test_another_measure_is_drawn_from_the_stored_run(
    lab: Lab, shown: dict[str, Any], measure: str
) -> None:
    found = Tradeoff(lab).restyle(shown["sweep_run"], measure, VISITOR)
    title = json.loads(found["sweep_bytes"])["layout"]["yaxis"]["title"]["text"]
    assert title == MEASURES[measure].title


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": []}, "policies"),
        ({"policies": ["no such"]}, "no such"),
        ({"budgets": "half"}, "budgets"),
        ({"budgets": "2"}, "budgets"),
        ({"budgets": ""}, "budgets"),
        ({"task": "no such"}, "no such"),
        ({"prompt": ""}, "prompts"),
    ],
)
def test_what_a_visitor_can_mend_is_one_line(
    lab: Lab, changes: dict[str, object], said: str
) -> None:
    last = list(Tradeoff(lab).run(asked(**changes), VISITOR))[-1]
    assert set(last) == {"sweep_status"}
    assert 'role="alert"' in last["sweep_status"]
    assert said in words(last["sweep_status"])


def test_parameters_of_the_page_are_swept(lab: Lab, shown: dict[str, Any]) -> None:
    request = lab.open(shown["sweep_run"]).request
    assert isinstance(request, SweepRequest)
    assert request.policies[1].parameters["recent_share"] == 0.25


def test_the_card_tells_the_sweep(lab: Lab, shown: dict[str, Any]) -> None:
    told = words(Tradeoff(lab).cost(asked(), VISITOR)["sweep_cost"])
    assert "5, each tried once" in told
    assert "from runs of this model on this machine" in told
    assert "no such" in words(Tradeoff(lab).cost(asked(task="no such"), VISITOR)["sweep_cost"])


def test_every_point_opens_as_a_stored_run(
    lab: Lab, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelRegistry, "use", None)  # no model can be had
    result = lab.open(shown["sweep_run"]).result
    assert isinstance(result, SweepResult)
    page, trade = CachePage(lab), Tradeoff(lab)
    figure = tradeoff(result, "agree", "bytes")
    assert figure.layout.meta["opens"] == "point"
    numbers = [int(point[1]) for trace in figure.data for point in trace.customdata]
    assert sorted(numbers) == list(range(len(result.policy)))
    for number in numbers:
        (run,) = trade.point(shown["sweep_run"], number, VISITOR)
        assert isinstance(run, Run)
        found = run.result
        assert isinstance(found, CacheResult)
        assert found.policies == (result.policies[result.policy[number]],)
        assert found.kl_nats.mean() == pytest.approx(result.kl_nats[number], rel=1e-5)
        assert found.budget_tokens == pytest.approx(result.budget_tokens[number])
        opened = page.open(run.id, (0, 0, None, None), VISITOR)
        (lane,) = opened["lanes"]["lanes"]
        assert lane["title"] == result.titles[result.policy[number]]
        assert len(lane["texts"]) == found.token_ids.shape[1]


@pytest.mark.parametrize("number", [None, True, -1, 99, "1", 0.5])
def test_a_point_that_is_none_opens_nothing(
    lab: Lab, shown: dict[str, Any], number: object
) -> None:
    assert list(Tradeoff(lab).point(shown["sweep_run"], number, VISITOR)) == []
    assert list(Tradeoff(lab).point(None, 0, VISITOR)) == []


def test_a_stored_sweep_is_opened_by_its_id(lab: Lab, shown: dict[str, Any]) -> None:
    trade = Tradeoff(lab)
    found = trade.open(shown["sweep_run"], VISITOR)
    assert found["sweep_table"] == shown["sweep_table"]
    assert found["cache_address"] == {"sweep": shown["sweep_run"]}
    assert "nowhere" in words(trade.open("nowhere", VISITOR)["sweep_status"])
    assert trade.open(None, VISITOR) == {}
