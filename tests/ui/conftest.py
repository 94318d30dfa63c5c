"""Hand-made results, and a lab whose model and runner are stand-ins."""

import pytest

from backend import TraceResult
from tests.ui.hand_made import trace


@pytest.fixture(scope="session")
def small() -> TraceResult:
    return trace(5)


@pytest.fixture(scope="session")
def long() -> TraceResult:
    """A text of 130 tokens, so that tiles of 64 hold 2 or 3 of them."""
    return trace(130)
