"""Which policy costs least is said where intervals are apart, and withheld where they overlap."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tokenarium.backend import CacheResult, cache_verdict
from tokenarium.backend.runs.examples import read
from tokenarium.backend.runs.kind import KINDS

POLICIES = ["full", "recent", "streaming_llm", "h2o", "snapkv"]
STEPS = 48


@pytest.fixture(scope="module")
def shipped() -> CacheResult:
    result = read(KINDS.find("cache").examples[0]).result
    assert isinstance(result, CacheResult)
    assert list(result.policies) == POLICIES
    return result


def made(
    shipped: CacheResult, kl: dict[str, Any], held: dict[str, int] | None = None
) -> CacheResult:
    """Return the run with other divergences; those not given are far away, sizes as given."""
    nats = np.full(shipped.kl_nats.shape, 9.0, np.float32)
    nats[0] = 0
    for slug, values in kl.items():
        nats[POLICIES.index(slug)] = values
    cache = np.full(shipped.cache_bytes.shape, 400)
    cache[0] = 1000
    for slug, size in (held or {}).items():
        cache[POLICIES.index(slug)] = size
    return dataclasses.replace(shipped, kl_nats=nats, cache_bytes=cache)


def between(low: float, high: float) -> np.ndarray:
    """Return steps whose six-step batches have the means ``low`` and ``high`` in turn."""
    return np.repeat([low, high] * 4, STEPS // 8).astype(np.float32)


def test_the_least_is_named_where_its_interval_is_apart(shipped: CacheResult) -> None:
    # Half an interval is 0.894 times half the distance of the batch means.
    found = cache_verdict(made(shipped, {"h2o": between(0.9, 1.1), "snapkv": between(1.9, 2.1)}))
    assert found is not None
    assert found.ranked
    assert [one.run.policy for one in found.least] == ["h2o"]
    assert [one.run.policy for one in found.more] == ["snapkv", "recent", "streaming_llm"]
    assert (found.n, found.share) == (STEPS, 0.4)
    best = found.least[0].interval
    assert best is not None
    assert (best.value, best.low, best.high) == pytest.approx((1, 0.91061, 1.08939), abs=1e-4)


@pytest.mark.parametrize(("other", "decided"), [(1.17, False), (1.19, True)])
def test_it_is_withheld_where_intervals_overlap(
    shipped: CacheResult, other: float, decided: bool
) -> None:
    # Both intervals reach 0.08939 to either side: apart from 1 + 2 x 0.08939 = 1.1788 on.
    near = between(other - 0.1, other + 0.1)
    found = cache_verdict(made(shipped, {"h2o": between(0.9, 1.1), "snapkv": near}))
    assert found is not None
    assert [one.run.policy for one in found.least] == ["h2o", "snapkv"][: 2 - decided]


def test_only_caches_of_one_size_are_compared(shipped: CacheResult) -> None:
    sizes = {"recent": 380, "streaming_llm": 390, "h2o": 390, "snapkv": 700}
    found = cache_verdict(made(shipped, {"h2o": 1, "streaming_llm": 2, "snapkv": 0.1}, sizes))
    assert found is not None
    assert [one.run.policy for one in found.least] == ["h2o"]
    assert [one.run.policy for one in found.more] == ["streaming_llm", "recent"]
    assert [one.run.policy for one in found.others] == ["snapkv"]
    assert found.share == 0.39


def test_few_steps_rank_nothing(shipped: CacheResult) -> None:
    cut = dataclasses.replace(
        made(shipped, {"h2o": 1}),
        token_ids=np.where(np.arange(STEPS) < 15, shipped.token_ids, -1),
    )
    found = cache_verdict(cut)
    assert found is not None
    assert not found.ranked
    assert found.n == 15


def test_what_is_missed_most_is_where_the_lost_weights_add_up(shipped: CacheResult) -> None:
    positions = np.full(shipped.needed_position.shape, -1)
    weights = np.full(shipped.needed_weight.shape, np.nan, np.float32)
    positions[1, :6] = [7, 3, 3, 5, 5, 5]
    weights[1, :6] = [0.5, 0.3, 0.3, 0.1, 0.1, 0.1]
    result = dataclasses.replace(shipped, needed_position=positions, needed_weight=weights)
    found = cache_verdict(result)
    assert found is not None
    (worst,) = found.more
    assert (worst.run.policy, worst.missed) == ("recent", 3)
    assert worst.lost == pytest.approx(float(np.nanmean(shipped.lost_mass[1])))


def test_nothing_is_said_where_the_full_model_did_not_read_along(shipped: CacheResult) -> None:
    assert cache_verdict(made(shipped, dict.fromkeys(POLICIES, np.nan))) is None
