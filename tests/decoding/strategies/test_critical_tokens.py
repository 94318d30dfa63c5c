"""The contrast of two models by hand, and which likeliest tokens it refuses."""

import pytest
import torch

from tests.decoding.table import random_table, small_table, written
from tokenarium.backend.decoding.strategies.critical_tokens import CriticalTokens
from tokenarium.backend.decoding.strategies.greedy import Greedy

V = 8


def by_hand(table: torch.Tensor, below: float, most: int) -> tuple[list[int], int]:
    text, critical, small = [0, 1], 0, small_table(table)
    for _ in range(most):
        p = torch.softmax(table[text[-2], text[-1]].double(), -1)
        q = torch.softmax(small[text[-2], text[-1]].double(), -1)
        mass = (p**2 / q).where(p >= 0.1 * p.max(), 0)
        s = mass / mass.sum()
        token = int(p.argmax())
        if s[token] < below and int(s.argmax()) != token:
            token, critical = int(s.argmax()), critical + 1
        text.append(token)
    return text[2:], critical


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("below", [0.2, 0.5])
def test_critical_tokens_are_exchanged(seed: int, below: float) -> None:
    table = random_table(V, seed, 1.0)
    lane = written(CriticalTokens(below=below), table, most=20)
    wanted, critical = by_hand(table, below, 20)
    assert lane.new == wanted
    assert [row[7] for row in lane.journal.rows].count(9) == critical > 0
    assert wanted != written(Greedy(), table, most=20).new


def test_a_model_that_agrees_changes_nothing() -> None:
    """With q = p the contrast is p itself."""
    table = random_table(V, 5, 1.0)
    same = CriticalTokens(weight=3, below=1.0)
    assert written(same, table, most=12, small=table).new == written(Greedy(), table, most=12).new
