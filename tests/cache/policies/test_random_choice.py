"""Random: the highest of the numbers that the seed draws, layer by layer."""

import torch

from tests.cache.policies.eager import best
from tests.cache.policies.twin import PROMPT, kept_live
from tokenarium.backend.cache.policies.random_choice import RandomChoice


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, _ = twins("llama")
    draw, newest = torch.Generator().manual_seed(3), torch.arange(PROMPT) == PROMPT - 1
    expected = [
        [best(own, 9, newest) for own in torch.rand(2, PROMPT, generator=draw)] for _ in range(3)
    ]
    assert next(kept_live(loaded, RandomChoice(), 9, seed=3)) == expected


def test_random_choice_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
