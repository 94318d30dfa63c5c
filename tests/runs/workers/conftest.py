"""A lab whose runs are computed by workers in this process."""

from collections.abc import Callable

import pytest

from tests.runs.fake_workers import FakeCluster
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.scale import ray_workers


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster()
    monkeypatch.setattr(ray_workers, "workers_on_ray", made.engine)
    return made


@pytest.fixture
def lab(cluster: FakeCluster, make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(cold=True, engine="ray")
