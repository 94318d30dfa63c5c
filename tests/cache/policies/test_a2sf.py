"""A2SF against full matrices."""

import pytest
import torch

from tests.cache.policies.twin import Twin, check_same, holding, kept_live, mean_of_group, view
from tokenarium.backend.cache.policies.a2sf import A2SF
from tokenarium.backend.cache.policies.h2o import H2O
from tokenarium.backend.cache.terms import Protected


def faded(forgetting, join):
    def score(layer, weights, seen):
        age = torch.arange(weights.shape[1] - 1, -1, -1)
        return join((forgetting ** age[:, None] * weights).sum(1))

    return score


@pytest.mark.parametrize("forgetting", [0.6, 0.95])
def test_score_is_the_sum_over_all_queries_with_forgetting(twins, forgetting):
    loaded, model = twins("llama")
    score = faded(forgetting, lambda values: mean_of_group(values, 2))
    twin = Twin(model, 8, score, newest=2)
    policy = A2SF(forgetting=forgetting, recent_share=0.25)
    assert list(kept_live(loaded, policy, 8)) == list(twin.run())


def test_heads_of_a_group_are_joined_by_the_highest(twins):
    loaded, model = twins("llama")
    twin = Twin(model, 8, faded(0.9, lambda v: v.unflatten(0, (2, 2)).amax(1)), newest=2)
    policy = A2SF(forgetting=0.9, recent_share=0.25, reduction="max")
    joined_by_mean = A2SF(forgetting=0.9, recent_share=0.25)
    live = list(kept_live(loaded, policy, 8))
    # The maximum of a running sum would be another rule than the running sum of maxima.
    assert live[0] == next(twin.run())
    assert live != list(kept_live(loaded, joined_by_mean, 8))


def test_without_forgetting_is_h2o(twins):
    loaded, _ = twins("llama")
    live = list(kept_live(loaded, A2SF(forgetting=1, recent_share=0.5), 8))
    assert live == list(kept_live(loaded, H2O(recent_share=0.5), 8))
    assert live != list(kept_live(loaded, A2SF(forgetting=0.6, recent_share=0.5), 8))


def test_a_step_of_several_queries_fades_one_by_one():
    cache, policy = holding(3, 2), A2SF(forgetting=0.5, recent_share=0)
    cache.entries.put("mass", torch.tensor([[4.0, 0, 0]]))
    policy.observe_step(view(cache, policy), torch.tensor([[[0.5, 0.5, 0], [0.2, 0.2, 0.6]]] * 2))
    torch.testing.assert_close(
        policy.scores(view(cache, policy)), torch.tensor([[1.45, 0.45, 0.6]])
    )
    assert policy.kept(view(cache, policy), 2).indices[0].tolist() == [0, 2]


def test_window_is_a_sixteenth_of_the_budget():
    assert A2SF().protects(256, 0, 300) == Protected(newest=16)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    twin = Twin(model, 8, faded(0.6, lambda values: mean_of_group(values, 2)), newest=2)
    check_same(kept_live(loaded, A2SF(forgetting=0.6, recent_share=0.25), 8), twin.run())


def test_a2sf_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
