"""What is told of a cache before a run is what the run then reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.conftest import save_model
from tests.pairwise import covering
from tests.trace.conftest import letters, twins
from tokenarium.backend.cache.budget import CacheSizes
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cost.memory import bytes_by_step
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.windows import windows_of
from tokenarium.backend.runs.events import CancelToken

__all__ = ["letters", "twins"]

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
STEPS = 20


def ran(loaded: Any, policy: type[Policy], prompt: str, budget: int) -> Any:
    request = CacheRequest(
        model="m",
        text=prompt,
        policies=(PolicySpec(policy.slug),),
        budget=budget,
        max_new_tokens=STEPS,
        oracle=False,
        overflow="exceed",
    )
    return follow_policies(request, loaded, 10_000, lambda _: None, CancelToken())


def told(loaded: Any, policy: type[Policy], prompt: int, budget: int, steps: int) -> Any:
    windows = windows_of(loaded.model.config)
    fitted = policy().fitted(budget, len(loaded.layers), loaded.context)
    sizes = CacheSizes.of(loaded, sum(window is not None for window in windows))
    return bytes_by_step(fitted, budget, prompt, steps, windows, sizes)


def ways(policy: type[Policy]) -> tuple[object, ...]:
    """What a policy's bytes depend on."""
    return policy.label, policy.when, policy.scope, policy.ragged, policy().state_per_token()


LENGTHS = covering(
    [(policy, *sizes) for policy in POLICIES for sizes in ((70, 36), (300, 40), (30, 40))],
    lambda policy, length, budget: policy,
    lambda policy, length, budget: (length, ways(policy)),
)


@pytest.mark.parametrize(
    ("policy", "length", "budget"), LENGTHS, ids=[f"{p.slug}-{n}-{b}" for p, n, b in LENGTHS]
)
def test_bytes_are_those_of_the_run(
    policy: type[Policy],
    length: int,
    budget: int,
    twins: Callable[..., Any],
    letters: Callable[[int], str],
) -> None:
    loaded, _ = twins("llama")
    result = ran(loaded, policy, letters(length), budget)
    measured = result.cache_bytes[0]
    found = told(loaded, policy, len(result.prompt_ids), budget, len(measured))
    if policy.ragged and policy().shares_of_heads(1, 1, 1) is None:
        np.testing.assert_allclose(found, measured, rtol=0.12)
    else:
        np.testing.assert_array_equal(found, measured)


@pytest.mark.parametrize("family", ["gemma3_text", "mistral", "gpt2"])
@pytest.mark.parametrize("slug", ["h2o", "snapkv", "full"])
def test_layers_with_windows_and_other_head_counts(
    family: str, slug: str, twins: Callable[..., Any], letters: Callable[[int], str]
) -> None:
    loaded, _ = twins(family)
    (policy,) = (kind for kind in POLICIES if kind.slug == slug)
    result = ran(loaded, policy, letters(70), 36)
    measured = result.cache_bytes[0]
    found = told(loaded, policy, len(result.prompt_ids), 36, len(measured))
    np.testing.assert_array_equal(found, measured)


@pytest.mark.parametrize("slug", ["streaming_llm", "lm_infinite", "h2o"])
def test_half_precision_keeps_unmoved_keys_too(
    slug: str, tmp_path: Path, letters: Callable[[int], str]
) -> None:
    save_model(tmp_path, "llama")
    loaded = load(ModelSource("local/m", tmp_path, None, "m"), "bfloat16", "cpu", 2048)
    (policy,) = (kind for kind in POLICIES if kind.slug == slug)
    result = ran(loaded, policy, letters(100), 36)
    measured = result.cache_bytes[0]
    found = told(loaded, policy, len(result.prompt_ids), 36, len(measured))
    np.testing.assert_array_equal(found, measured)
    assert len(measured) > 16
