"""A lab with the bundled pair, and texts that its models write."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.labs import shipped_lab
from tokenarium.backend import AuditRequest, AuditResult, Lab, SpeculateRequest
from tokenarium.backend.models.loaded import LoadedModel

MODEL = "bundled/draft"
PROMPT = "Once upon a time there was a little girl who lived near the woods."

Writes = Callable[..., list[int]]
Audits = Callable[..., AuditResult]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="session")
def loaded(lab: Lab) -> LoadedModel:
    """Used while no run is: a lent model would make runs wait."""
    with lab.models_of(AuditRequest(model=MODEL, text=PROMPT, token_ids=(1,))) as used:
        return used.model


@pytest.fixture(scope="session")
def writes(lab: Lab) -> Writes:
    """A function that returns the ids that the model continues the prompt with."""

    def write(count: int = 48, **values: Any) -> list[int]:
        asked: dict[str, Any] = {"drafter": "prompt_lookup", "plain": False, **values}
        request = lab.request(
            SpeculateRequest, model=MODEL, text=PROMPT, max_new_tokens=count, **asked
        )
        ids: list[int] = lab.run(request).result.token_ids.tolist()
        return ids

    return write


@pytest.fixture(scope="session")
def audits(lab: Lab) -> Audits:
    """A function that audits what is said to continue the prompt."""

    def audit(**values: Any) -> AuditResult:
        asked: dict[str, Any] = {"model": MODEL, "text": PROMPT, **values}
        result: AuditResult = lab.run(lab.request(AuditRequest, **asked)).result
        return result

    return audit
