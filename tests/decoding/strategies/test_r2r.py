"""Routing by hand: who writes each token, and what the large model reads for it."""

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, small_table, written
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.r2r import R2R

V, LINE = 8, 0.9


def entropy(logits: torch.Tensor) -> float:
    p = torch.softmax(logits.double(), -1)
    return float(-(p * p.log()).sum())


def by_hand(table: torch.Tensor, small: torch.Tensor, most: int) -> tuple[list[int], list[bool]]:
    text, wrote = [0, 1], []
    for _ in range(most):
        said = small[text[-2], text[-1]]
        wrote.append(entropy(said) <= LINE)
        text.append(int((said if wrote[-1] else table[text[-2], text[-1]]).argmax()))
    return text[2:], wrote


@pytest.mark.parametrize("seed", range(4))
def test_the_small_model_writes_where_it_is_sure(seed: int) -> None:
    table = random_table(V, seed, 1.5)
    lane = written(R2R(threshold=LINE), table, most=24)
    text, wrote = by_hand(table, small_table(table), 24)
    assert lane.new == text
    assert [made.small for made in lane.records] == wrote
    assert 0 < sum(wrote) < 24
    asked = wrote.count(False) - (not wrote[0])  # what follows the prompt is known already
    assert lane.spent_in_all[0] == asked
    last = max(place for place, own in enumerate(wrote) if not own)
    assert lane.spent_in_all[1] == last  # each token before it was read once
    assert lane.small_spent[:2] == (23, 23)


def test_never_is_the_small_model_alone() -> None:
    table = random_table(V, 3, 1.0)
    alone = written(Greedy(), small_table(table), most=12).new
    lane = written(R2R(route="never"), table, most=12)
    assert lane.new == alone
    assert lane.spent_in_all == (0, 0)
    assert alone != written(Greedy(), table, most=12).new


def test_the_quantile_is_of_the_small_model_along_plain_decoding() -> None:
    table = random_table(V, 1, 1.0)
    plain = written(Greedy(), table, most=10).new
    text = [0, 1, *plain]
    wanted = [entropy(small_table(table)[text[i], text[i + 1]]) for i in range(10)]
    known = Calibration(np.zeros(10, np.float32), np.zeros(10, np.float32), tokens=tuple(plain))
    strategy = R2R(quantile=0.5)
    lane: Lane = lane_of(strategy, TableReader(table), most=10, calibration=known)
    strategy.decode(lane)
    assert lane.lines["hand over above"] == pytest.approx(float(np.median(wanted)), abs=1e-5)
