"""Scissorhands against full matrices."""

import pytest
import torch

from tests.cache.policies.twin import Twin, check_same, holding, kept_live, view
from tokenarium.backend.cache.policies.scissorhands import Scissorhands


def seldom_seen(history, join=lambda values: values.mean(1)):
    """Minus how often each key got less than an even share from the last queries."""

    def score(layer, weights, seen):
        heads, length = weights.shape[:2]
        counts = torch.zeros(heads, length)
        for head in range(heads):
            for query in range(max(0, length - history), length):
                for key in seen[head // 2, query].nonzero()[:, 0].tolist():
                    even = 1 / int(seen[head // 2, query].sum())
                    counts[head, key] += float(weights[head, query, key]) < even
        return -join(counts.unflatten(0, (2, 2)))

    return score


@pytest.mark.parametrize(
    ("budget", "history", "recent", "drop", "left"),
    [(10, None, None, 0.5, 5), (8, 2, 3, 0.25, 6), (12, 400, 10, 0.5, 10)],
)
def test_drops_in_bulk_what_was_seldom_seen(twins, budget, history, recent, drop, left):
    loaded, model = twins("llama")
    policy = Scissorhands(history=history, recent=recent, drop_share=drop)
    fitted = policy.fitted(budget, 3, 2048)
    twin = Twin(model, budget, seldom_seen(fitted.history), newest=fitted.recent, kept_then=left)
    live = list(kept_live(loaded, policy, budget))
    assert live == list(twin.run())
    sizes = [len(step[0][0]) for step in live]
    assert sizes[0] == left
    assert max(sizes) == budget
    assert sizes[budget - left + 1] == left


def test_heads_are_joined_as_chosen(twins):
    loaded, model = twins("llama")
    policy = Scissorhands(reduction="max")
    highest = seldom_seen(4, lambda values: values.amax(1))
    twin = Twin(model, 10, highest, newest=1, kept_then=5)
    # A maximum of counts over several steps is not the maximum step by step, so one step only.
    assert next(iter(kept_live(loaded, policy, 10))) == next(twin.run())


def test_counts_only_the_steps_before_an_eviction():
    policy = Scissorhands(history=2, recent=1, drop_share=0.5)
    policy = policy.fitted(4, 1, 100)
    cache = holding(3, 4)
    cache.entries.put("unseen", torch.zeros(1, 3))
    policy.observe_step(view(cache, policy), torch.tensor([[[0.9, 0.05, 0.05]]] * 2))
    assert not cache.entries.rows("unseen").any()  # two more steps until five are too many
    for _ in range(2):
        new = torch.zeros(1, 1, 4)
        cache.entries.append(new, new, torch.tensor([cache.entries.counts[0]]))
        size = cache.entries.counts[0]
        weights = torch.full((2, 1, size), 0.1 / (size - 2))
        weights[:, :, 1:3] = 0.45
        policy.observe_step(view(cache, policy), weights)
    assert cache.entries.rows("unseen").tolist() == [[2, 0, 0, 2, 1]]
    assert policy.kept(view(cache, policy), 4).indices[0].tolist() == [
        1,
        4,
    ]  # the newest always, then the older of two
    assert not cache.entries.rows("unseen").any()


def test_of_several_new_queries_none_counts_for_entries_after_it():
    policy = Scissorhands(history=3, recent=1).fitted(6, 1, 100)
    cache = holding(6, 6)
    cache.entries.put("unseen", torch.zeros(1, 6))
    weights = torch.zeros(2, 2, 6)
    weights[:, 0, 0] = weights[:, 1, 0] = 1
    policy.observe_step(view(cache, policy), weights)
    assert cache.entries.rows("unseen").tolist() == [[0, 2, 2, 2, 2, 1]]


@pytest.mark.parametrize(("budget", "history", "recent"), [(2, 1, 1), (16, 6, 1), (1000, 400, 50)])
def test_fits_its_steps_to_the_budget(budget, history, recent):
    fitted = Scissorhands().fitted(budget, 3, 2048)
    assert (fitted.history, fitted.recent) == (history, recent)


def test_the_published_values_need_room_for_their_window():
    assert Scissorhands(**Scissorhands.published).smallest_budget() == 11
    assert Scissorhands().smallest_budget() == 2


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = Twin(model, 8, seldom_seen(2), newest=3, kept_then=6)
    check_same(kept_live(loaded, Scissorhands(history=2, recent=3, drop_share=0.25), 8), twin.run())


def test_scissorhands_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
