"""MPCache against loops over full matrices, and by hand."""

import torch

from tests.cache.policies.selecting import TURNS, agree, expected, live
from tests.cache.policies.twin import TOKENS, holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.mpcache import MPCache

SETTINGS = {"cluster": 2, "looking": 0.25, "static": 0.8, "larger": 0.7, "upper": 0.6}
BUDGET = 10


def best(scores, count):
    """Numbers of the highest of a list; the first and the last always."""
    safe = {0, len(scores) - 1}
    order = sorted(range(len(scores)), key=lambda i: (i not in safe, -scores[i], i))
    return set(order[: max(2, count)])


def looked_once(q, k, looking, static, scaling):
    """The prompt's tokens that its end looks at, in ascending order."""
    prompt, each = TURNS[0], len(q) // len(k)
    rows = range(prompt - max(1, round(looking * prompt)), prompt)
    highest = torch.zeros(prompt, dtype=torch.float64)
    for row in rows:
        mean = torch.zeros(prompt, dtype=torch.float64)
        for h in range(len(q)):
            logits = k[h // each, : row + 1].double() @ q[h, row].double() * scaling
            mean[: row + 1] += logits.softmax(0) / len(q)
        highest = torch.maximum(highest, mean)
    order = sorted(range(prompt), key=lambda at: (-float(highest[at]), at))
    return sorted(order[: max(BUDGET, round(static * prompt))])


def clustered(cluster, looking, static, larger, upper, scaling, shared=True):
    chosen = {}

    def rule(layer, step, weights, q, k):
        held, n = k.shape[1], weights.shape[1]
        if held <= BUDGET + n - 1:
            return None
        if shared and layer % 2:
            return chosen[step]
        places = looked_once(q, k, looking, static, scaling) + list(range(TURNS[0], held))
        each = len(q) // len(k)
        read = []
        for g, keys in enumerate(k.double()):
            query = q[g * each : (g + 1) * each, -n:].double().mean((0, 1))

            def bounds(size, keys=keys, query=query):
                parts = [keys[places[at : at + size]] for at in range(0, len(places), size)]
                ranges = [upper * part.amax(0) + (1 - upper) * part.amin(0) for part in parts]
                return [float(query @ own) for own in ranges]

            large = bounds(2 * cluster)
            whole = max(-(-(BUDGET + n - 1) // (2 * cluster)), round(larger * len(large)))
            inside = best(large, whole)
            small = bounds(cluster)
            fits = [s if i // 2 in inside else float("-inf") for i, s in enumerate(small)]
            own = best(fits, (BUDGET + n - 1) // cluster)
            kept = [p for i, p in enumerate(places) if i // cluster in own]
            read.append(sorted({*kept, *range(held - n, held)}))
        chosen[step] = read
        return read

    return rule


def test_steps_read_the_clusters_whose_ranges_fit(twins):
    for family, size in (("llama", 8), ("qwen3", 16)):
        loaded, model = twins(family)
        for shared in (True, False):
            rule = clustered(**SETTINGS, scaling=size**-0.5, shared=shared)
            found = live(loaded, MPCache(**SETTINGS, shared=shared), BUDGET)
            agree(found, expected(model, rule, whole=True))
        assert found[0][-1][0] != found[0][-1][1]


def test_the_highest_values_alone_are_a_bound_from_above():
    torch.manual_seed(0)
    cache = holding(16, 4)
    keys = torch.randn(16, 4)
    cache.entries.buffers["keys"][:16] = keys
    cache.queries = torch.rand(2, 1, 4)  # no channel is negative
    policy = MPCache(upper=1.0, cluster=4)
    bounds = policy._bounds(view(cache, policy), torch.arange(16), 4)[0]
    logits = cache.queries.mean((0, 1)) @ keys.T
    assert (bounds >= logits.view(4, 4).amax(1) - 1e-6).all()


def test_bounds_of_four_clusters_by_hand():
    cache = holding(7, 4)
    cache.entries.buffers["keys"][:7] = 0
    cache.entries.buffers["keys"][:7, 0] = torch.tensor([1.0, 3, 2, 2, -4, 0, 5])
    cache.queries = torch.tensor([[[1.0, 0, 0, 0]], [[1.0, 0, 0, 0]]])
    policy = MPCache(upper=0.75)
    bounds = policy._bounds(view(cache, policy), torch.arange(7), 2)[0]
    torch.testing.assert_close(bounds, torch.tensor([2.5, 2.0, -1.0, 5.0]))


def test_all_selected_is_the_full_cache(twins):
    loaded, _ = twins("llama")
    full, other = (CachedSequence(loaded, policy, 40) for policy in (Full(), MPCache()))
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        torch.testing.assert_close(other.read(ids), full.read(ids), rtol=0, atol=0)
        assert other.selected == {}


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    rule = clustered(**SETTINGS, scaling=8**-0.5)
    agree(live(loaded, MPCache(**SETTINGS), BUDGET), expected(model, rule, whole=True))


def test_mpcache_reads_what_it_should(twins) -> None:
    check_kept_sets(twins)
