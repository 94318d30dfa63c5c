"""Tree search finds the best of all texts, by values and visits that are computed again."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.tree_search import TreeSearch, _Node


def value(table: torch.Tensor, ids: tuple[int, ...]) -> float:
    logs, path = torch.log_softmax(table.double(), -1), [0, 1, *ids]
    each = [float(logs[path[i - 2], path[i - 1], path[i]]) for i in range(2, len(path))]
    return float(np.exp(np.mean(each)))


@pytest.mark.parametrize("seed", range(3))
def test_enough_iterations_find_the_best_text_of_all(seed: int) -> None:
    table = random_table(3, seed, 1.0)
    strategy = TreeSearch(iterations=120, candidates=3, rollout=3, explore=3)
    lane = written(strategy, table, most=3)
    best = max(product(range(3), repeat=3), key=lambda ids: value(table, ids))
    assert tuple(lane.new) == best
    rows = [row for row in lane.journal.rows if row[7] == 0]
    assert rows[0][5] == pytest.approx(value(table, best), rel=1e-5)


def test_a_few_iterations_may_leave_greedy_decoding_for_a_better_text() -> None:
    tables = [random_table(5, seed, 1.0) for seed in range(8)]
    found = [tuple(written(TreeSearch(), table, most=6).new) for table in tables]
    plain = [tuple(written(Greedy(), table, most=6).new) for table in tables]
    assert found != plain
    for table, one, other in zip(tables, found, plain, strict=True):
        assert value(table, one) >= value(table, other) - 1e-9


def test_what_was_rarely_tried_and_what_is_likely_is_worth_more() -> None:
    node = _Node(None, 0.25, visits=3, total=1.5)
    assert TreeSearch(explore=2).worth(node, 16) == pytest.approx(0.5 + 2 * 0.25 * 4 / 4)
    assert TreeSearch(explore=0).worth(node, 16) == 0.5
    assert TreeSearch().worth(_Node(None, 0.5), 4) == pytest.approx(0.5 * 2)


def test_nothing_follows_an_end_of_text() -> None:
    table = torch.zeros(4, 4, 4)
    table[..., 3] = 1.0
    lane = written(TreeSearch(), table, most=6, end=3)
    assert all(3 not in branch.tokens[:-1] for branch in lane.branches)
    assert lane.ended == "end"
