"""LazyEviction against full matrices."""

import math
from itertools import pairwise

import pytest
import torch

from tests.cache.policies.twin import PROMPT, Twin, check_same, holding, kept_live, view
from tokenarium.backend.cache.policies.lazy_eviction import LazyEviction


def due_back(window, threshold, join):
    """Scores from the list of steps at which each key was active."""

    def score(layer, weights, seen):
        groups, length = seen.shape[:2]
        joined = join(weights.unflatten(0, (groups, -1)))
        scores = torch.zeros(groups, length)
        for g in range(groups):
            for key in range(length):
                active = [key]
                for query in range(max(key, PROMPT - window), length):
                    entries = PROMPT if query < PROMPT else int(seen[g, query].sum())
                    least = threshold or 1 / entries
                    if seen[g, query, key] and float(joined[g, query, key]) >= least:
                        active.append(query)
                pause = max((b - a for a, b in pairwise(active)), default=0)
                if pause:
                    silent = (length - 1 - active[-1]) / pause
                    scores[g, key] = 4 / (1 + math.exp(silent)) / (1 + math.exp(1 / pause))
        return scores

    return score


@pytest.mark.parametrize(
    ("budget", "window", "threshold", "reduction"),
    [(12, None, 0.0, "mean"), (12, 3, 0.0, "max"), (14, 4, 0.15, "mean"), (8, 5, 0.02, "mean")],
)
def test_keeps_what_is_due_to_come_back(twins, budget, window, threshold, reduction):
    loaded, model = twins("llama")
    policy = LazyEviction(window=window, threshold=threshold, reduction=reduction)
    steps = policy.eviction_interval(budget)
    join = torch.mean if reduction == "mean" else torch.amax
    score = due_back(steps, threshold, lambda values: join(values, 1))
    twin = Twin(model, budget, score, newest=steps, every=steps)
    live = list(kept_live(loaded, policy, budget))
    assert live == list(twin.run())
    sizes = [len(step[0][0]) for step in live]
    assert sizes[0] == sizes[steps] == budget
    assert max(sizes) == budget + steps - 1


def test_follows_activity_by_hand():
    policy = LazyEviction(window=1, threshold=0.2)
    cache = holding(4, 2)
    cache.entries.put("active_at", torch.arange(4)[None].float())
    cache.entries.put("pause", torch.tensor([[0.0, 2, 0, 0]]))
    new = torch.zeros(1, 2, 4)
    cache.entries.append(new, new, torch.tensor([4, 5]))
    cache.seen = 6
    step = torch.tensor([[0.1, 0.3, 0.0, 0.6, 0.0, 0.0], [0.0, 0.1, 0.0, 0.5, 0.1, 0.3]])
    policy.observe_step(view(cache, policy), step.expand(2, 2, 6))
    assert cache.entries.rows("active_at").tolist() == [[0, 4, 2, 5, 4, 5]]
    assert cache.entries.rows("pause").tolist() == [[0, 3, 0, 1, 0, 0]]
    one, two = 1 / (1 + math.exp(1 / 3)), 1 / (1 + math.exp(1))
    wanted = torch.tensor([[0, 4 * one * one, 0, 4 * 0.5 * two, 0, 0]])
    torch.testing.assert_close(policy.scores(view(cache, policy)), wanted)
    assert policy.kept(view(cache, policy), 2).indices[0].tolist() == [1, 5]
    assert policy.kept(view(cache, policy), 3).indices[0].tolist() == [1, 3, 5]


@pytest.mark.parametrize(("budget", "window"), [(2, 1), (16, 2), (1000, 125)])
def test_window_follows_the_budget(budget, window):
    assert LazyEviction().fitted(budget, 3, 2048).window == window
    assert LazyEviction(window=7).fitted(budget, 3, 2048).window == 7


def test_published_window_needs_room():
    assert LazyEviction(**LazyEviction.published).smallest_budget() == 176
    assert LazyEviction().smallest_budget() == 2


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    score = due_back(3, 0.0, lambda values: values.mean(1))
    twin = Twin(model, 12, score, newest=3, every=3)
    check_same(kept_live(loaded, LazyEviction(window=3), 12), twin.run())


def test_lazy_eviction_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
