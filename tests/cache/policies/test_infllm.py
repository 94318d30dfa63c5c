"""InfLLM against full matrices, by hand, and against the full cache."""

import pytest
import torch

from tests.cache.policies.selecting import TURNS, agree, expected, highest_blocks, live
from tests.cache.policies.twin import TOKENS, holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.infllm import InfLLM

SETTINGS = {"block": 4, "first": 2, "newest": 5, "representatives": 2}
"""Blocks of 4 in a budget of 18: the first, up to two of the newest, and one that is looked up."""


def received_nearby(q, k, newest, scaling):
    """[H, S] what each key got from the queries of its window, each softmax over its own window."""
    total = torch.zeros(len(q), k.shape[1], dtype=torch.float64)
    for h, queries in enumerate(q.double()):
        for at, query in enumerate(queries):
            low = max(0, at + 1 - newest)
            logits = k[h, low : at + 1].double() @ query * scaling
            total[h, low : at + 1] += logits.softmax(0)
    return total


def looked_up(budget, block, first, newest, representatives, scaling, uncapped=None):
    """All query heads ask each block's best tokens; a layer reads one set."""

    def rule(layer, step, weights, q, k):
        held, n = k.shape[1], weights.shape[1]
        more = n - 1
        if held <= budget + more:
            return None
        each = len(q) // len(k)
        near = k if uncapped is None else uncapped[layer][:, :held]
        got = received_nearby(q, near.repeat_interleave(each, 0), newest, scaling)
        got = got.unflatten(0, (len(k), each)).mean(1)
        scores = []
        for start in range(0, held, block):
            own = range(start, min(held, start + block))
            score = 0.0
            for g, keys in enumerate(k.double()):
                best = sorted(own, key=lambda p: -float(got[g, p]))[:representatives]
                mean = keys[best].mean(0)
                score += float(q[g * each : (g + 1) * each, -n:].double().mean((0, 1)) @ mean)
            scores.append(score / len(k))
        always = set(range(first)) | set(range(held - newest - more, held))
        count = (budget + -(-more // block) * block) // block
        return [highest_blocks(torch.tensor(scores), count, block, held, always)] * len(k)

    return rule


@pytest.mark.parametrize(("family", "size"), [("llama", 8), ("qwen3", 16)])
def test_steps_read_the_blocks_whose_representatives_fit(twins, family, size):
    loaded, model = twins(family)
    policy = InfLLM(positions="original", **SETTINGS)
    rule = looked_up(18, 4, 2, 5, 2, size**-0.5)
    found = live(loaded, policy, 18)
    agree(found, expected(model, rule, whole=True))
    assert found[0][-1][1] is not None


def test_far_blocks_stand_at_the_edge_of_the_window(twins):
    loaded, model = twins("llama")
    full = CachedSequence(loaded, Full(), 99)
    full.read(TOKENS[: sum(TURNS)])
    plain = [layer.entries.rows("keys").clone() for layer in full.layers]
    policy = InfLLM(**SETTINGS)
    assert policy.fitted(18, 3, 99).distance_cap() == 5
    found, _ = live(loaded, policy, 18)
    # In the first layer keys do not depend on what later steps read.
    rule = looked_up(18, 4, 2, 5, 2, 8**-0.5, plain)
    twin, _ = expected(model, rule, cap=5, whole=True)
    assert [step[0] for step in found] == [step[0] for step in twin]
    assert [step[0] for step in found] != [
        step[0] for step in live(loaded, InfLLM(positions="original", **SETTINGS), 18)[0]
    ]


def test_a_block_that_fits_the_query_is_read_by_hand():
    cache = holding(12, 8)
    cache.entries.buffers["keys"][:12] = 0
    cache.entries.buffers["keys"][4:6, 0] = 1.0  # the block from 4 to 5
    cache.queries = torch.tensor([[[1.0, 0, 0, 0]], [[1.0, 0, 0, 0]]])
    policy = InfLLM(block=2, first=1, newest=2, representatives=2).fitted(8, 1, 99)
    own = view(cache, policy)
    own.put("received", torch.zeros(1, 12))
    choice = policy.selects(own)
    assert choice.block == 2
    assert choice.indices[0].tolist() == [0, 1, 2, 5]  # ties go to the older block
    torch.testing.assert_close(choice.scores[0, 3:7], torch.tensor([0.0, 1, 1, 0]))


def test_all_blocks_selected_is_the_full_cache(twins):
    loaded, _ = twins("llama")
    policies = (Full(), InfLLM(block=4, newest=40))
    full, other = (CachedSequence(loaded, policy, 64) for policy in policies)
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        torch.testing.assert_close(other.read(ids), full.read(ids), rtol=0, atol=0)
        assert other.selected == {}


def test_blocks_follow_the_budget_and_need_room():
    fitted = InfLLM().fitted(272, 4, 9999)
    assert (fitted.block, fitted.first, fitted.newest) == (16, 16, 128)
    small = InfLLM().fitted(3, 4, 9999)
    assert (small.block, small.first, small.newest, small.smallest_budget()) == (1, 1, 1, 3)
    tight = InfLLM(block=32).fitted(96, 4, 9999)
    assert tight.newest == 1
    tight.refuse_below_smallest(96)
    with pytest.raises(ValueError, match="budget=95 tokens per head is below the 96"):
        InfLLM(block=32).fitted(95, 4, 9999).refuse_below_smallest(95)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    policy = InfLLM(positions="original", **SETTINGS)
    agree(live(loaded, policy, 18), expected(model, looked_up(18, 4, 2, 5, 2, 8**-0.5), whole=True))


def test_infllm_reads_what_it_should(twins) -> None:
    check_kept_sets(twins)
