"""What holds for every test."""

import os
import sys
import tempfile

import pytest

_status = pytest.StashKey[int]()
_cache = tempfile.TemporaryDirectory(prefix="tokenarium-tests-")
OPTIONS = {"TOKENARIUM_FETCH": "false", "TOKENARIUM_CACHE_DIR": _cache.name}
"""No test downloads a model, or sees what the user of this machine has."""
os.environ.update(OPTIONS)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_status] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once and quietly: DuckDB's binding would remark on its own leaks."""
    if _status in config.stash and not hasattr(config, "workerinput"):
        _cache.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_status])


@pytest.fixture(autouse=True)
def no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment sets does not reach the settings under test."""
    for name in [*os.environ]:
        if name.startswith("TOKENARIUM_") or name == "SPACE_ID":
            monkeypatch.delenv(name)
    for name, value in OPTIONS.items():
        monkeypatch.setenv(name, value)
