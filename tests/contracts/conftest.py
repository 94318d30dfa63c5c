"""One lab with the bundled models, and one run of every section of a page."""

from collections.abc import Iterator

import pytest

from tests.labs import shipped_lab
from tests.ui.browser_stub import Visit
from tokenarium.backend import Lab
from tokenarium.ui.shell.section import RunPage


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="session")
def done(lab: Lab) -> dict[tuple[type[RunPage], str], Visit]:
    """A visit of every page on which a section was run, made when it is asked for."""
    return {}
