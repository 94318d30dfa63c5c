"""The choice of the highest scores against a sort in Python."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.policies.selecting import highest as sorted_out
from tests.cache.policies.twin import holding, view
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Protected
from tokenarium.backend.cache.topk import highest


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.integers(0, 5), st.data())
def test_the_highest_stay_ties_go_to_the_older_and_protected_come_first(
    length, budget, first, newest, data
):
    few = st.sampled_from([-torch.inf, -1.0, 0.0, 0.5, 0.5000001, 3.0])
    scores = torch.tensor(data.draw(st.lists(few, min_size=length, max_size=length)))
    layer = view(holding(length, budget), Policy.registry.find("full")())
    protected = Protected(first, newest)
    kept = highest(scores[None].clone(), layer, budget, protected, "head").indices
    scores[:first] = scores[max(0, length - newest) :] = torch.inf
    assert kept[0].tolist() == sorted_out(scores, budget, set())
