"""What probes are answered while the run store is slow, or gone."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from tests.labs import shipped_store
from tokenarium.backend import Lab, Settings
from tokenarium.ui.shell import health


def client(why_not_ready: Any) -> TestClient:
    app = Starlette(middleware=[Middleware(health.Health)])
    app.get_blocks = lambda: SimpleNamespace(why_not_ready=why_not_ready)  # type: ignore[attr-defined]
    return TestClient(app)


def test_readiness_ends_with_the_run_store_and_the_process_lives_on() -> None:
    lab = Lab(Settings(database=shipped_store(), device="cpu", fetch=False))
    probes = client(lab.why_not_ready)
    assert probes.get("/ready").status_code == 200
    lab.close()
    found = probes.get("/ready")
    assert found.status_code == 503
    assert found.json() == {
        "status": "not ready",
        "reason": "the run store is closed or cannot be opened",
    }
    assert probes.get("/health").json() == {"status": "ok"}


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.05)

    def slow() -> str:
        time.sleep(0.3)
        return ""

    found = client(slow).get("/ready")
    assert found.status_code == 503
    assert "did not answer within 0.05 s" in found.json()["reason"]
