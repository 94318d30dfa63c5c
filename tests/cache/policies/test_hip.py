"""HiP against a search in Python over full matrices, by hand, and against the exact top k."""

import pytest
import torch

from tests.cache.policies.selecting import agree, expected, live
from tests.cache.policies.twin import TOKENS, holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.hip import HiP
from tokenarium.backend.cache.terms import Protected

SETTINGS = {"block": 2, "first": 1, "newest": 3, "dense": 1}


def found_by_halving(middle_score, low, high, sought):
    """The blocks from low to high that a search with a score of chunks (start, stop) ends with."""
    size = 1
    while -(-(high - low) // size) > 2 * sought:
        size *= 2
    chunks = [(start, min(start + size, high)) for start in range(low, high, size)]
    while True:
        best = sorted(chunks, key=lambda chunk: (-middle_score(*chunk), chunk))[:sought]
        if size == 1:
            return sorted(start for start, _ in best)
        size //= 2
        halves = [(at, min(at + size, high)) for start, _ in best for at in (start, start + size)]
        chunks = [half for half in halves if half[0] < high]


def searched(budget, block, first, newest, dense):
    def rule(layer, step, weights, q, k):
        held, more = k.shape[1], q.shape[1] - 1
        if layer < dense or held <= budget + more:
            return None
        each, every = len(q) // len(k), -(-held // block)
        low, high = -(-first // block), (held - newest - more) // block
        sought = budget // block + -(-more // block) - low - (every - high)
        read = []
        for g, keys in enumerate(k.double()):
            query = q[g * each : (g + 1) * each].double().mean((0, 1))

            def score(start, stop, keys=keys, query=query):
                return float(query @ keys[min((start + stop) * block // 2, held - 1)])

            blocks = {*range(low), *found_by_halving(score, low, high, sought), *range(high, every)}
            read.append([at for at in range(held) if at // block in blocks])
        return read

    return rule


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_steps_read_the_blocks_that_halving_finds(twins, family):
    loaded, model = twins(family)
    found = live(loaded, HiP(**SETTINGS), 14)
    agree(found, expected(model, searched(14, **SETTINGS)))
    assert all(step[0] is None for step in found[0])
    assert found[0][-1][2] is not None


def looked_at(logits, sought, block=1):
    """The levels of a search over one KV head whose only key channel is the logit."""
    cache = holding(len(logits), 4)
    cache.entries.buffers["keys"][: len(logits)] = 0
    cache.entries.buffers["keys"][: len(logits), 0] = torch.tensor(logits)
    cache.queries = torch.tensor([[[1.0, 0, 0, 0]], [[1.0, 0, 0, 0]]])
    policy = HiP(block=block)
    return policy.search(view(cache, policy), Protected(0, -(-len(logits) // block)), sought)


def test_a_search_is_exact_where_one_hill_is_all_there_is():
    for peak in (0, 5, 17, 31):
        logits = [-abs(at - peak) + 0.01 * at for at in range(32)]
        levels = looked_at([float(value) for value in logits], 4)
        last = levels[-1]
        exact = sorted(range(32), key=lambda at: -logits[at])[:4]
        assert last.starts.gather(1, last.opened)[0].tolist() == sorted(exact)
        assert [level.size for level in levels] == [4, 2, 1]
        assert all(level.starts.shape[1] <= 8 for level in levels)


def test_what_lies_in_a_chunk_with_a_poor_middle_is_missed():
    logits = [0.0] * 16
    logits[2] = 9.0  # the middle of 0 to 7 is at 4
    logits[12] = 1.0
    last = looked_at(logits, 1)[-1]
    assert last.starts.gather(1, last.opened).tolist() != [[2]]


def test_all_blocks_selected_is_the_full_cache(twins):
    loaded, _ = twins("llama")
    full, other = (CachedSequence(loaded, policy, 40) for policy in (Full(), HiP()))
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        torch.testing.assert_close(other.read(ids), full.read(ids), rtol=0, atol=0)
        assert other.selected == {}


def test_dense_layers_follow_the_model():
    assert HiP().fitted(64, 30, 99).dense == 2
    assert HiP().fitted(64, 1, 99).dense == 0
    with pytest.raises(ValueError, match="dense=4 leaves none of 4 layers to search in"):
        HiP(dense=4).fitted(64, 4, 99)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    agree(live(loaded, HiP(**SETTINGS), 14), expected(model, searched(14, **SETTINGS)))


def test_hip_reads_what_it_should(twins) -> None:
    check_kept_sets(twins)
