"""What holds for every test."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment sets does not reach the settings under test."""
    for name in [*os.environ]:
        if name.startswith("TOKENARIUM_") or name == "SPACE_ID":
            monkeypatch.delenv(name)
