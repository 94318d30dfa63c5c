"""A cascade by hand: the statistic, who writes, and what is taken back."""

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, small_table, written
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.cascade import Cascade
from tokenarium.backend.decoding.strategies.greedy import Greedy

V = 8


def surprisal(table: torch.Tensor, new: list[int]) -> list[float]:
    text, logs = [0, 1, *new], -torch.log_softmax(table.double(), -1)
    return [float(logs[text[i], text[i + 1], text[i + 2]]) for i in range(len(new))]


@pytest.mark.parametrize(
    ("statistic", "of"),
    [("quantile", lambda s: np.quantile(s, 0.8)), ("mean", np.mean), ("sum", np.sum)],
)
def test_it_stays_where_the_statistic_is_below_the_line(statistic: str, of: object) -> None:
    table = random_table(V, 2, 1.0)
    small = written(Greedy(), small_table(table), most=9).new
    own = float(of(surprisal(small_table(table), small)))  # type: ignore[operator]
    kept = written(Cascade(statistic=statistic, threshold=own + 1e-3), table, most=9)
    left = written(Cascade(statistic=statistic, threshold=own - 1e-3), table, most=9)
    assert kept.new == small
    assert all(made.small for made in kept.records)
    assert kept.spent_in_all == (0, 0)
    assert left.new == written(Greedy(), table, most=9).new != small
    assert not any(made.small for made in left.records)
    assert [row[7] for row in left.journal.rows].count(6) == 9  # all taken back


@pytest.mark.parametrize(("more", "stays"), [(1e-3, True), (-1e-3, False)])
def test_the_line_is_that_of_the_large_models_text(more: float, stays: bool) -> None:
    table = random_table(V, 2, 1.0)
    small = written(Greedy(), small_table(table), most=9).new
    line = np.quantile(surprisal(small_table(table), small), 0.8) + more
    known = Calibration(*[np.full(9, line, np.float32)] * 3)
    strategy = Cascade()
    lane = lane_of(strategy, TableReader(table), most=9, calibration=known)
    strategy.decode(lane)
    assert (lane.new == small) == stays
