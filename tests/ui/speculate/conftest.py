"""One run on tiny models, shown on the Speculate page."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tokenarium.backend import (
    Lab,
    Settings,
    SpeculationResult,
)
from tokenarium.ui.pages.speculate import Speculate
from tokenarium.ui.panels.speculate.guesses import Guesses

PROMPT = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "target", "llama")
    save_model(folder / "draft", "llama", num_hidden_layers=2)
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


USUAL: dict[str, Any] = {
    "text": PROMPT,
    "model": "local/target",
    "draft_model": "local/draft",
    "drafter": "iid_tree",
    "rule": "k_seq",
    "draft_len": 3,
    "tree_budget": 9,
    "temperature": 1.0,
    "max_new_tokens": 12,
    "parameters": {},
    "sampling": {},
}


@pytest.fixture
def page(lab: Lab) -> Visit:
    return Visit(lab, Speculate)


def ran(page: Visit, section: str = "run", **changes: object) -> dict[str, Any]:
    """Return the last thing that the page is told of a run."""
    return page.run(section, **(USUAL | changes))[-1]


def guesses(page: Visit) -> Guesses:
    (found,) = (panel for panel in page.page.shown if isinstance(panel, Guesses))
    return found


@pytest.fixture(scope="session")
def shown(lab: Lab) -> dict[str, Any]:
    """The last thing the page is told of a run."""
    return ran(Visit(lab, Speculate))


def run_of(shown: dict[str, Any]) -> str:
    return str(shown["selection"]["run"])


@pytest.fixture(scope="session")
def result(lab: Lab, shown: dict[str, Any]) -> SpeculationResult:
    found = lab.open(run_of(shown)).result
    assert isinstance(found, SpeculationResult)
    return found
