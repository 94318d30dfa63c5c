"""The same tiny models as a trace is tested on."""

from collections.abc import Iterator

import pytest

from tests.trace.conftest import letters, twins
from tokenarium.backend.observe.kept_attention import KEPT

__all__ = ["letters", "twins"]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Every test reads its texts for the first time, and leaves the process as it was."""
    KEPT.clear()
    yield
    KEPT.clear()
