"""The same tiny models as a trace is tested on, and nothing left over from another test."""

from collections.abc import Iterator

import pytest

from tests.trace.conftest import twins
from tokenarium.backend.benchmark.sweep.finished import FINISHED

__all__ = ["twins"]


@pytest.fixture(autouse=True)
def _nothing_finished() -> Iterator[None]:
    FINISHED.clear()
    yield
    FINISHED.clear()
