"""The three-token matrix against a recount, and the search against one done by hand."""

from collections import Counter
from math import sqrt

import pytest
import torch

from tests.speculation.test_text_drafters import VOCABULARY, begun, text
from tokenarium.backend.speculation.drafters.aded import CANDIDATES, Aded
from tokenarium.backend.speculation.tree import ROOT


def test_the_matrix_is_the_count_of_the_prompt_and_of_what_the_target_said() -> None:
    ids, one = text(40, 5), Aded()
    state = begun(one, ids)
    expected = Counter(zip(ids, ids[1:], ids[2:], strict=False))
    matrix = state.memory["matrix"]
    assert {(*pair, c): n for pair, row in matrix.items() for c, n in row.items()} == expected
    tree = one.propose(state)
    logits = torch.randn(len(tree), VOCABULARY, generator=torch.Generator().manual_seed(1))
    one.update(state, tree, logits)
    counted = dict(expected)
    for node, row in enumerate(logits.softmax(-1)):
        path = ids + [tree.tokens[above] for above in tree.path(node)[1:]]
        for share, token in zip(*row.topk(CANDIDATES), strict=True):
            key = (*path[-2:], int(token))
            counted[key] = counted.get(key, 0) + float(share)
    found = {(*pair, c): n for pair, row in matrix.items() for c, n in row.items()}
    assert found == pytest.approx(counted)


def test_five_simulations_by_hand() -> None:
    # After 1 2 came 3 twice and 4 once; after 2 3 came 1; after 2 4 came 1.
    one = Aded(simulations=5, exploration=1.0)
    state = begun(one, [1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 2], draft_len=2)
    state.memory["matrix"] = {(1, 2): {3: 2.0, 4: 1.0}, (2, 3): {1: 1.0}, (2, 4): {1: 1.0}}
    tree = one.propose(state)
    # 1 expands the root. 2 takes 3 (prior 2/3) and expands it. Then 3 is worth 2/3 + 2/3 sqrt(2)/2
    # and 4 1/3 sqrt(2), so 3 again, down to 1; and so the fourth and the fifth time.
    assert 2 / 3 + 2 / 3 * sqrt(4) / 4 > 1 / 3 * sqrt(4)
    paths = [[tree.tokens[n] for n in tree.path(node)[1:]] for node in range(1, len(tree))]
    assert paths == [[3], [3, 1]]
    assert tree.values[1:] == pytest.approx([2 / 3, 2 / 3])
    wide = Aded(simulations=40, exploration=10.0)
    state.draft_len, state.tree_budget = 2, 3
    explored = wide.propose(state)
    assert sorted(explored.tokens[1:]) in ([1, 3, 4], [1, 1, 3])
    assert 4 in Aded(simulations=40, exploration=10.0).propose(state).tokens


def test_what_repeats_is_drafted_whole_and_what_is_new_not_at_all() -> None:
    state = begun(Aded(), [5, 6, 7, 8, 9, 5, 6], draft_len=4)
    assert Aded().propose(state).tokens == [6, 7, 8, 9, 5]
    assert len(Aded().propose(begun(Aded(), [1, 2, 3, 4]))) == 1
    assert begun(Aded(), [1]).tree().tokens[ROOT] == 1
