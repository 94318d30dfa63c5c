"""Dead-end rectification: the cap by hand, chances of a dead end by dynamic programming."""

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table
from tokenarium.backend.decoding.constraints.no_letters import NoLetters
from tokenarium.backend.decoding.strategies.rectification import Rectification, capped

V = 4


def test_no_token_is_likelier_than_it_is_to_end_well() -> None:
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05])
    found = capped(probs, [0, 1], [0.9, 0.1])
    wanted = np.array([0.1, 0.3, 0.15, 0.05])  # the others have a chance of 0.5
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-6)
    torch.testing.assert_close(capped(probs, [0, 1], [0.0, 0.0]), probs)
    assert capped(probs, [0, 1, 2, 3], [1.0, 0, 0, 0])[0] == 0
    assert not capped(probs, [0], [1.0]).any()


def exact(table: torch.Tensor, before: tuple[int, int], ahead: int) -> float:
    """Return the chance that a "d" is among the next tokens."""
    row = torch.softmax(table[before].double(), -1)
    later = [1.0 if key == 3 else exact(table, (before[1], key), ahead - 1) if ahead > 1 else 0.0
             for key in range(V)]  # fmt: skip
    return float((row * torch.tensor(later, dtype=torch.double)).sum())


def test_shares_of_drawn_texts_are_the_chances_of_a_dead_end() -> None:
    table = random_table(V, 4, 1.0)
    strategy = Rectification(candidates=4, rollouts=32, length=3)
    found = []
    for seed in range(6):
        lane = lane_of(strategy, TableReader(table), most=9, seed=seed)
        lane.allowed = lane.under(NoLetters(letters="d"))
        strategy.step(lane)
        rows = {row[3]: row[5] for row in lane.journal.rows if row[7] == 1}
        assert rows.pop(3) == 1
        found.append([rows[key] for key in range(3)])
    wanted = [exact(table, (1, key), 3) for key in range(3)]
    np.testing.assert_allclose(np.mean(found, 0), wanted, atol=4 * 0.5 / np.sqrt(6 * 32))


def test_texts_break_the_constraint_less_often() -> None:
    table = random_table(V, 4, 1.0)
    broken = {}
    for rollouts in (0, 8):
        strategy = Rectification(rollouts=rollouts, length=3)
        texts = []
        for seed in range(5):
            lane = lane_of(strategy, TableReader(table), most=4, seed=seed)
            lane.allowed = lane.under(NoLetters(letters="d"))
            strategy.decode(lane)
            texts.append(3 in lane.new)
        broken[rollouts] = np.mean(texts)
    assert broken[8] == 0, "the cap of a token that breaks it is 0"
    assert broken[0] == pytest.approx(exact(table, (0, 1), 4), abs=0.6)
    assert broken[0] > 0
