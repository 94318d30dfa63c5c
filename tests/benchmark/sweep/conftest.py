"""Nothing is left over from another test."""

from collections.abc import Iterator

import pytest

from tokenarium.backend.benchmark.sweep.runner import FINISHED


@pytest.fixture(autouse=True)
def _nothing_finished() -> Iterator[None]:
    FINISHED.clear()
    yield
    FINISHED.clear()
