"""InfLLM-V2 against full matrices: kernels by loops, and the switch from dense to sparse."""

import pytest
import torch

from tests.cache.policies.selecting import agree, expected, highest_blocks, live
from tests.cache.policies.twin import TOKENS
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.infllm_v2 import InfLLMV2

BUDGET = 18
SETTINGS = {"block": 4, "first": 2, "newest": 5, "kernel": 6, "stride": 2, "dense": 24}
"""Kernels of 6 every 2 tokens: each touches two blocks of 4, some three of them never."""


def looked_up(block, first, newest, kernel, stride, dense, scaling):
    """Every KV head reads the blocks that its best kernels touch."""

    def rule(layer, step, weights, q, k):
        held, n = k.shape[1], weights.shape[1]
        more = n - 1
        if held <= max(BUDGET + more, dense):
            return None
        each, read = len(q) // len(k), []
        for g, keys in enumerate(k.double()):
            starts = range(0, held - kernel + 1, stride)
            means = torch.stack([keys[at : at + kernel].mean(0) for at in starts])
            shares = torch.zeros(len(means), dtype=torch.float64)
            for query in q[g * each : (g + 1) * each].double().mean(1):
                shares += (means @ query * scaling).softmax(0)
            scores = [0.0] * -(-held // block)
            for at, share in zip(starts, shares.tolist(), strict=True):
                for own in {place // block for place in range(at, at + kernel)}:
                    scores[own] = max(scores[own], share)
            always = set(range(first)) | set(range(held - newest - more, held))
            count = (BUDGET + -(-more // block) * block) // block
            read.append(highest_blocks(torch.tensor(scores), count, block, held, always))
        return read

    return rule


@pytest.mark.parametrize(("family", "size"), [("llama", 8), ("qwen3", 16)])
@pytest.mark.parametrize(("kernel", "stride"), [(6, 2), (4, 4), (3, 1), (9, 4)])
def test_steps_read_the_blocks_that_the_best_kernels_touch(twins, family, size, kernel, stride):
    loaded, model = twins(family)
    own = SETTINGS | {"kernel": kernel, "stride": stride}
    found = live(loaded, InfLLMV2(**own), BUDGET)
    agree(found, expected(model, looked_up(**own, scaling=size**-0.5)))
    assert found[0][-1][1] is not None


def test_below_the_switch_it_is_the_full_cache_bit_for_bit(twins):
    loaded, _ = twins("llama")
    policies = (Full(), InfLLMV2(block=4, dense=30))
    full, other = (CachedSequence(loaded, policy, BUDGET) for policy in policies)
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        logits, whole = other.read(ids), full.read(ids)
        assert (other.selected == {}) == (other.seen <= 30)
        if other.seen <= 30:
            torch.testing.assert_close(logits, whole, rtol=0, atol=0)
    assert other.selected


def test_open_settings_follow_the_budget_as_the_authors_do():
    fitted = InfLLMV2().fitted(6144, 4, 99_999)
    assert (fitted.block, fitted.kernel, fitted.stride, fitted.dense) == (256, 128, 64, 8192)
    small = InfLLMV2().fitted(3, 4, 99)
    assert (small.block, small.kernel, small.stride) == (1, 1, 1)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = expected(model, looked_up(**SETTINGS, scaling=8**-0.5))
    agree(live(loaded, InfLLMV2(**SETTINGS), BUDGET), twin)


def test_infllm_v2_reads_what_it_should(twins) -> None:
    check_kept_sets(twins)
