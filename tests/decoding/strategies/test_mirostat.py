"""Mirostat: the bound's course by hand, Zipf's rank against the sum that it approximates."""

import math

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.mirostat import Mirostat, zipf_exponent, zipf_rank

V = 8
KNOWN = Calibration(np.linspace(0.0, 1.6, 17, dtype=np.float32), np.ones(17, np.float32))


@pytest.mark.parametrize("cut", ["zipf", "surprisal"])
def test_the_bound_falls_after_surprise_and_cuts_by_it(cut: str) -> None:
    table = random_table(V, 3, 1.5)
    strategy = Mirostat(target_nats=1.3, rate=0.7, cut=cut)
    lane = written(strategy, table, most=40, seed=2)
    text, bound, counts = [0, 1], 2.6, set()
    for made, row in zip(lane.records, lane.journal.rows, strict=True):
        assert row[5] == pytest.approx(bound, abs=1e-5)
        logs = torch.log_softmax(table[text[-2], text[-1]].double(), -1)
        order = logs.sort(descending=True)
        if cut == "surprisal":
            left = max(1, int((-logs <= bound).sum()))
        else:
            a = zipf_exponent(order.values.tolist())
            left = zipf_rank(a, bound, V)
        assert made.left.tolist() == [V, left]
        kept = order.values[:left].exp()
        own = float(logs[made.token].exp() / kept.sum())
        assert made.final_probability == pytest.approx(own, rel=1e-4)
        bound -= 0.7 * (-float(logs[made.token]) - 1.3)
        text.append(made.token)
        counts.add(left)
    assert len(counts) > 3, "the bound never moved"


def test_zipfs_law_is_found_again_and_its_rank_has_the_surprisal() -> None:
    for a in (0.8, 1.3, 2.0):
        ranks = np.arange(1, 2001.0)
        logs = np.log(ranks**-a / (ranks**-a).sum())
        assert zipf_exponent(logs[:100].tolist()) == pytest.approx(a)
        for rank in (3, 40, 300):
            found = zipf_rank(a, -float(logs[rank - 1]), 2000)
            assert found == pytest.approx(rank, rel=0.35)
    assert zipf_rank(1.0, -math.log(1 / (50 * math.log(2000))), 2000) == 50
    assert zipf_rank(0.0, 0.1, 9) == zipf_rank(3.0, 1e9, 9) == zipf_rank(3.0, math.inf, 9) == 9
    assert zipf_rank(3.0, -5.0, 9) == 1


def test_the_target_is_a_quantile_of_plain_decoding_and_is_reached() -> None:
    table = random_table(V, 1, 1.0)
    lane = written(Mirostat(quantile=0.5), table, calibration=KNOWN)
    assert lane.lines == {"aims at": pytest.approx(0.8)}
    for target in (1.1, 1.4):
        lane = written(Mirostat(target_nats=target, cut="surprisal"), table, most=600)
        mean = -np.mean([made.log_prob for made in lane.records[50:]])
        assert mean == pytest.approx(target, abs=0.05)
