"""A visitor of the Explore page, whose model is a stand-in."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.ui.browser_stub import Visit
from tests.ui.conftest import MODEL, Reader
from tokenarium.backend import Lab
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.shell.panel import Values

PARTS = {"sentence", "strip", "card", "grid", "map", "received"}


@pytest.fixture
def explore(lab: Lab, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Visit:
    """A visitor of the page, drawing every part of a run that is told."""
    monkeypatch.setattr(Explore, "partial_every_s", 0)
    found = Visit(lab, Explore)
    found.fill(model=MODEL)
    return found


def read(explore: Visit, text: str = "five!", **more: Any) -> Values:
    """Run a text and return the last thing that the page is told."""
    return explore.run(text=text, **more)[-1]


def running(explore: Visit, text: str) -> Iterator[Values]:
    explore.fill(text=text)
    return explore.running()


def until_part(explore: Visit, steps: Iterator[Values]) -> tuple[list[Values], Values]:
    """Return what was told before the first partial result, and the result's views."""
    before = []
    for found in steps:
        explore.take(found)
        if found.get("selection", {}).get("why") == "partial":
            return before, found
        before.append(found)
    raise AssertionError("no partial result")


def numbers(metric: dict[str, Any]) -> np.ndarray:
    halves = np.frombuffer(base64.b64decode(metric["values"]), "<f2")
    return np.ldexp(halves.astype(np.float64), -metric["exponent"])
