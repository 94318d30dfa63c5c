"""Squeezed Attention against full matrices, and what its clusters must be."""

import torch

from tests.cache.policies.selecting import TURNS, agree, expected, live
from tests.cache.policies.twin import TOKENS, holding, view
from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.squeezed import Squeezed, spherical_clusters

SETTINGS = {"question": 3, "clusters": 1.0, "calibration": 6}
"""Each key of the prefix is a cluster of its own, so that scores are its exact weights."""
BUDGET = 9
PREFIX = TURNS[0] - 3


def weights_of_prefix(q, k, scaling):
    """[G, PREFIX] of queries [H, n, D]: the mean query's softmax, mean over a group."""
    each, rows = len(q) // len(k), []
    for g, keys in enumerate(k[:, :PREFIX].double()):
        own = [
            (keys @ q[h].double().mean(0) * scaling).softmax(0)
            for h in range(g * each, (g + 1) * each)
        ]
        rows.append(torch.stack(own).mean(0))
    return torch.stack(rows)


def threshold(model, scaling):
    """The score above which the prefix's last queries read what is left of the budget."""
    found = []

    def look(module, weights, q, k):
        keys = k[:: len(q) // model.config.num_key_value_heads]
        for at in range(PREFIX - 6, PREFIX):
            found.extend(weights_of_prefix(q[:, at : at + 1], keys, scaling).tolist())
        return weights

    oracle.run(model, TOKENS[: TURNS[0]], look)
    scores = sorted((one for row in found for one in row), reverse=True)
    return scores[(BUDGET - 3) * len(found)]


def above(limit, scaling):
    def rule(layer, step, weights, q, k):
        held, n = k.shape[1], q.shape[1]
        if held <= BUDGET + n - 1:
            return None
        scores = weights_of_prefix(q, k, scaling).tolist()
        rest = list(range(PREFIX, held))
        return [[at for at, one in enumerate(own) if one > limit] + rest for own in scores]

    return rule


def test_scores_of_clusters_add_up_to_one_and_clusters_of_one_are_exact():
    torch.manual_seed(1)
    cache = holding(20, 8, step=0)
    cache.entries.buffers["keys"][:20] = torch.randn(20, 4)
    cache.queries = torch.randn(2, 20, 4)
    cache.scaling = 0.5
    for clusters in (0.3, 1.0):
        cache.shared.clear()
        policy = Squeezed(clusters=clusters, question=2)
        own = view(cache, policy)
        policy.observe_prompt(own, None)
        scores = policy.scores_at(own, cache.queries)
        total = (scores * cache.memory["sizes"][:, None]).sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total))
    keys = cache.entries.buffers["keys"][:18]
    exact = (cache.queries @ keys.T * 0.5).softmax(-1).mean(0)
    member = own.state("cluster")[0, :18].long() - 1
    assert sorted(member.tolist()) == list(range(18))
    torch.testing.assert_close(scores[0][:, member], exact)


def test_clusters_are_near_their_centres_and_those_of_a_seed():
    torch.manual_seed(2)
    middles = torch.nn.functional.normalize(torch.randn(1, 3, 8), dim=2)
    keys = middles.repeat_interleave(20, 1) + 0.05 * torch.randn(1, 60, 8)
    own = spherical_clusters(keys, 3, 20, torch.Generator().manual_seed(4))
    again = spherical_clusters(keys, 3, 20, torch.Generator().manual_seed(4))
    assert torch.equal(own, again)
    parts = own.view(3, 20)
    assert (parts == parts[:, :1]).all()
    assert len(set(parts[:, 0].tolist())) == 3


def test_all_selected_is_the_full_cache(twins):
    loaded, _ = twins("llama")
    full, other = (CachedSequence(loaded, policy, 40) for policy in (Full(), Squeezed()))
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        torch.testing.assert_close(other.read(ids), full.read(ids), rtol=0, atol=0)
        assert other.selected == {}


def test_the_prefixs_queries_read_what_the_budget_leaves(twins):
    loaded, _ = twins("llama")
    policy = Squeezed(question=4, clusters=0.2, calibration=40)
    sequence = CachedSequence(loaded, policy, 16)
    sequence.read(TOKENS[:38])
    seen = list(sequence.shared["seen"])
    sequence.read([7])
    limit = sequence.shared["threshold"]
    read = [float((own > limit).float().mul(n[:, None]).sum()) for own, n, _ in seen]
    queries = sum(own.shape[0] * own.shape[1] for own, _, _ in seen)
    assert 0.8 * (16 - 4) <= sum(read) / queries <= 16 - 4


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    rule = above(threshold(model, 8**-0.5), 8**-0.5)
    agree(live(loaded, Squeezed(**SETTINGS), BUDGET), expected(model, rule))


def test_squeezed_reads_what_it_should(twins) -> None:
    check_kept_sets(twins)
