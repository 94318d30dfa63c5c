"""What holds for every test."""

import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache

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


@pytest.fixture(scope="session", autouse=True)
def bundled_models_are_hashed_once() -> Iterator[None]:
    """Every lab learns the identity of the bundled models as it opens, and it is the same one."""
    from tokenarium.backend.models import identity, registry
    from tokenarium.backend.models.names import BUNDLED, ModelSource

    once = cache(identity.fingerprint)

    def known(source: ModelSource, memo: identity.DigestMemo | None = None) -> str | None:
        return once(source) if source.name in BUNDLED else identity.fingerprint(source, memo)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "fingerprint", known)
        yield
