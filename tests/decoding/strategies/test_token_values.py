"""Token values against exact enumeration of what could follow."""

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table
from tokenarium.backend.benchmark.accuracy import interval
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.token_values import TokenValues

V, RIGHT, LENGTH, DRAWN = 6, 4, 3, 60


def chance(table: torch.Tensor, text: list[int], more: int) -> float:
    """Return the probability that a text has the right token within so many more."""
    if RIGHT in text[2:]:
        return 1.0
    if not more:
        return 0.0
    p = torch.softmax(table[text[-2], text[-1]].double(), -1)
    return sum(float(p[x]) * chance(table, [*text, x], more - 1) for x in range(V))


def test_values_are_the_shares_that_enumeration_gives() -> None:
    inside = tries = 0
    for seed in range(20):
        table = random_table(V, seed, 1.0)
        strategy = TokenValues(rollouts=DRAWN, length=LENGTH)
        lane = lane_of(strategy, TableReader(table), most=8, seed=seed)
        lane.right = lambda ids: RIGHT in ids
        tried = lane.fork(lane.now.likeliest(2))
        for token, value in zip(
            [branch.tokens[0] for branch in tried], strategy.values(lane, tried), strict=True
        ):
            low, high = interval(round(value * DRAWN), DRAWN)
            exact = chance(table, [0, 1, token], LENGTH)
            inside += low - 1e-9 <= exact <= high + 1e-9
            tries += 1
    assert inside >= 0.9 * tries  # 95 % are expected


@pytest.mark.parametrize(("known", "first"), [(True, 2), (False, 0)])
def test_the_token_of_the_highest_value_is_taken(known: bool, first: int) -> None:
    """The likeliest token leads nowhere; where no answer is known, what most texts do counts."""
    table = torch.full((V, V, V), -9.0)
    table[0, 1, 0], table[0, 1, 2] = 6.0, 5.0
    table[1, 0, 0] = table[0, 0, 0] = 9.0
    table[1, 2, RIGHT] = table[2, RIGHT, RIGHT] = table[RIGHT, RIGHT, RIGHT] = 9.0
    sure = Calibration(np.zeros(4, np.float32), np.zeros(4, np.float32))
    strategy = TokenValues(rollouts=8, length=2, candidates=2)
    lane = lane_of(strategy, TableReader(table), most=3, calibration=sure)
    lane.right = (lambda ids: RIGHT in ids) if known else None
    assert lane.now.best == 0
    strategy.step(lane)
    assert lane.new == [first]
