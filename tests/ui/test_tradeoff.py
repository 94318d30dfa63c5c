"""The trade-off: every point of a sweep is a real run, and drawn where it was measured."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend import Lab, Settings, SweepResult
from tests.models.conftest import save_model
from tests.ui.test_sentence import words
from ui.figures.tradeoff import MEASURES, tradeoff
from ui.pages.tradeoff import PROMPT, Tradeoff

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


def asked(**changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "model": "local/llama",
        "prompt": "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND SLEEPS",
        "policies": ["recent", "h2o"],
        "task": PROMPT,
        "budgets": "0.5, 0.25",
        "length": 64,
        "trials": 1,
        "measure": "agree",
    }
    return values | changes


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
    found = Tradeoff(lab).restyle(shown["sweep_run"], asked(measure=measure), VISITOR)
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
