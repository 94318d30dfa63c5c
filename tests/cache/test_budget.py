"""The memory that a run is refused for is never below what its cache then takes."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from tokenarium.backend.cache.budget import CacheSizes
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cost.memory import bytes_by_step
from tokenarium.backend.cost.run_memory import CacheRunPlan, bytes_of_cache_run

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
CONFIG: Any = LlamaConfig(
    num_hidden_layers=32,
    num_attention_heads=8,
    num_key_value_heads=8,
    head_dim=128,
    hidden_size=64,
    intermediate_size=64,
    vocab_size=100,
)
"""Entries so large that the cache is nearly all of what a run takes."""


@pytest.mark.parametrize(("prompt", "steps"), [(16, 3000), (3000, 16)])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
def test_the_bound_holds_the_cache_at_its_largest(
    policy: type[Policy], prompt: int, steps: int
) -> None:
    request = CacheRequest(
        model="m",
        text="a",
        policies=(PolicySpec(policy.slug),),
        budget=32,
        max_new_tokens=steps,
        oracle=False,
    )
    sizes = CacheSizes.read(CONFIG, torch.float32, 0)
    fitted = policy().fitted(32, 32, 8192)
    taken = bytes_by_step(fitted, 32, prompt, steps, [None] * 32, sizes).max()
    plan = CacheRunPlan(request, CONFIG, torch.float32, torch.device("cpu"), prompt, steps, 32)
    assert bytes_of_cache_run(plan) >= taken
