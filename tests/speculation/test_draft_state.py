"""What drafters work with: choosing children by chance and by likelihood, and the text read."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.speculation.conftest import text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors, sample_one
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.reader import TreeReader

MASSES = st.lists(
    st.sampled_from([0.0, 1e-30, 1e-9, 0.1, 0.3, 1.0]), min_size=1, max_size=12
).filter(any)


def state(temperature: float = 1.0, seed: int = 0) -> DraftState:
    return DraftState([1], 8, 4, 8, Processors(temperature), np.random.default_rng(seed))


@settings(deadline=None)
@given(masses=MASSES, uniform=st.floats(0, 1, exclude_max=True))
def test_a_draw_is_where_the_cumulated_law_passes(masses: list[float], uniform: float) -> None:
    probs = torch.tensor(masses)
    token = sample_one(probs, uniform)
    assert masses[token] > 0
    total = probs.double().sum()
    below, above = probs.double()[:token].sum(), probs.double()[: token + 1].sum()
    assert below <= uniform * total * (1 + 1e-12)
    assert above >= uniform * total * (1 - 1e-12)


@settings(deadline=None)
@given(masses=MASSES, count=st.integers(1, 12), how=st.sampled_from(["once", "again", "best"]))
def test_children_have_mass_and_come_once_where_they_should(
    masses: list[float], count: int, how: str
) -> None:
    probs = torch.tensor([masses])
    draws = {"once": "without_replacement", "again": "iid", "best": "deterministic"}
    [tokens] = state().choose(probs, [count], draws[how])
    assert all(masses[token] > 0 for token in tokens)
    if how == "again":
        assert len(tokens) == count
        return
    assert len(tokens) == len(set(tokens)) == min(count, sum(mass > 0 for mass in masses))
    if how == "best":
        chosen = [masses[token] for token in tokens]
        assert chosen == sorted(masses, reverse=True)[: len(tokens)]


def test_what_hardly_has_mass_is_drawn_in_proportion_when_the_rest_is_gone() -> None:
    """Subtracting what was drawn from a cumulated distribution would leave nothing but rounding."""
    probs = torch.tensor([[1.0, 7e-21, 0.0, 3e-21]]).expand(2000, 4).clone()
    found = state().choose(probs, [2] * 2000, "without_replacement")
    assert {first for first, _ in found} == {0}
    assert sum(second == 1 for _, second in found) == pytest.approx(1400, abs=80)


def test_every_node_gets_as_many_children_as_it_wants() -> None:
    probs = torch.softmax(torch.randn(3, 8), -1)
    for how in ("iid", "without_replacement", "deterministic"):
        assert [len(row) for row in state().choose(probs, [3, 0, 5], how)] == [3, 0, 5]


@pytest.mark.parametrize("how", ["iid", "without_replacement", "deterministic"])
def test_at_temperature_zero_the_likeliest_are_taken_without_chance(how: str) -> None:
    probs, one = torch.softmax(torch.randn(2, 8), -1), state(0.0)
    assert one.choose(probs, [3, 2], how) == [
        probs[0].argsort(descending=True)[:3].tolist(),
        probs[1].argsort(descending=True)[:2].tolist(),
    ]
    assert one.random.random() == np.random.default_rng(0).random()


def test_the_draft_reads_each_token_of_the_text_once(draft: LoadedModel) -> None:
    reader = TreeReader(draft, 64)
    one = DraftState(text_ids(6), 272, 4, 8, Processors(1.0), np.random.default_rng(0), reader)
    with torch.inference_mode():
        tree = one.tree()
        one.probs(tree, [0])
        first, second = tree.add(0, 70), tree.add(0, 71)
        one.probs(tree, [first, second])
        below = tree.add(second, 72)
        assert one.prefix(tree, below) == [*one.ids, 71, 72]
        one.keep([0, second, below])  # of which the last was not read
        assert reader.length == 7
        one.ids += [71, 72, 73]
        found = one.probs(one.tree(), [0])
        assert reader.length == 9
        own = torch.softmax(draft.model(torch.tensor([one.ids])).logits[0, -1], -1)
    torch.testing.assert_close(found[0], own, rtol=1e-4, atol=1e-6)


def test_what_was_not_accepted_is_forgotten(draft: LoadedModel) -> None:
    one = DraftState(
        text_ids(6), 272, 4, 8, Processors(1.0), np.random.default_rng(0), TreeReader(draft, 64)
    )
    with torch.inference_mode():
        for _ in range(2):  # the second tree uses the same numbers of nodes for other tokens
            tree = one.tree()
            one.probs(tree, [0])
            node = tree.add(0, 70 + len(one.ids))
            one.probs(tree, [node])
            one.keep([0])
            one.ids.append(75)
        tree = one.tree()
        one.probs(tree, [0])
        one.keep([0, tree.add(0, 71)])  # not read, unlike that node of the tree before
        assert one.reader.length == len(one.ids) == 8
        one.ids += [71, 76]
        found = one.probs(one.tree(), [0])
        own = torch.softmax(draft.model(torch.tensor([one.ids])).logits[0, -1], -1)
    torch.testing.assert_close(found[0], own, rtol=1e-4, atol=1e-6)
