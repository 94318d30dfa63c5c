"""TOVA against full matrices."""

import pytest
import torch

from tests.cache.policies.twin import Twin, check_same, holding, kept_live, view
from tokenarium.backend.cache.policies.tova import TOVA


def test_keeps_what_the_last_query_looks_at(twins):
    loaded, model = twins("llama")
    twin = Twin(model, 9, lambda _, weights, seen: weights[:, -1].mean(0).expand(2, -1))
    live = list(kept_live(loaded, TOVA(), 9))
    assert live == list(twin.run())
    assert all(heads[0] == heads[1] for step in live for heads in step)


@pytest.mark.parametrize("reduction", ["max", "sum"])
def test_heads_are_joined_as_chosen_before_the_mean(twins, reduction):
    loaded, model = twins("llama")

    def score(layer, weights, seen):
        grouped = weights[:, -1].unflatten(0, (2, 2))
        return grouped.amax(1) if reduction == "max" else grouped.sum(1)

    twin = Twin(model, 9, score, newest=2, shared=True)
    policy = TOVA(newest=2, reduction=reduction)
    assert list(kept_live(loaded, policy, 9)) == list(twin.run())


def test_drops_by_the_heads_mean():
    cache, policy = holding(4, 3), TOVA()
    policy.observe_step(
        view(cache, policy), torch.tensor([[[0.1, 0.2, 0.3, 0.4]], [[0.6, 0.1, 0.3, 0.0]]])
    )
    # means 0.35, 0.15, 0.3, 0.2
    assert policy.kept(view(cache, policy), 3).indices[0].tolist() == [0, 2, 3]


def test_newest_are_protected_where_asked():
    cache, policy = holding(4, 2), TOVA(newest=1)
    policy.observe_step(view(cache, policy), torch.tensor([[[0.4, 0.3, 0.2, 0.1]]] * 2))
    assert policy.kept(view(cache, policy), 2).indices[0].tolist() == [0, 3]
    assert policy.smallest_budget() == TOVA().smallest_budget() == 1


def test_of_several_new_queries_the_last_counts():
    cache, policy = holding(3, 1), TOVA()
    policy.observe_step(view(cache, policy), torch.tensor([[[0.9, 0.1, 0.0], [0.2, 0.5, 0.3]]] * 2))
    assert policy.kept(view(cache, policy), 1).indices[0].tolist() == [1]


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = Twin(model, 9, lambda _, weights, seen: weights[:, -1].mean(0).expand(2, -1))
    check_same(kept_live(loaded, TOVA(), 9), twin.run())


def test_tova_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
