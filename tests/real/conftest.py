"""The default model, fetched into the user's cache folder; no test of the usual run is here."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.models.fetching.obtain import obtain
from tokenarium.backend.models.names import resolve
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.settings import Settings

TRIES, PAUSE_S = 3, 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def cache() -> Path:
    """Return the user's own folder, so that the model is fetched once on a machine."""
    return Settings(hosted=False).cache_dir


@pytest.fixture(scope="session")
def folder(cache: Path) -> Path:
    """Fetch the model, if need be; three tries, and a failure fails every test."""
    source = resolve(DEFAULT_MODEL, Settings(cache_dir=cache, hosted=False))
    assert source.gguf is not None
    for left in reversed(range(TRIES)):
        try:
            return obtain(source.gguf, source.name, lambda *_: None)
        except ModelRefused as error:
            if not left:
                pytest.fail(f"{DEFAULT_MODEL} could not be fetched in {TRIES} tries: {error}")
            time.sleep(PAUSE_S)
    raise AssertionError


@pytest.fixture(scope="session")
def lab(cache: Path, folder: Path) -> Iterator[Lab]:
    settings = Settings(
        database="duckdb:///:memory:", device="cpu", hosted=False, fetch=False, cache_dir=cache
    )
    with Lab(settings) as opened:
        yield opened
