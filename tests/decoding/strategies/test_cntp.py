"""Cautious next token prediction: how many trials, where they end, and which one stays."""

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.strategies.cntp import Cntp
from tokenarium.backend.decoding.strategies.greedy import Greedy

V = 6


@pytest.mark.parametrize(
    ("entropy", "trials"), [(0.005, 1), (0.01, 1), (0.2, 2), (0.7, 5), (1.4999, 9), (1.5, 10)]
)
def test_trials_grow_with_the_entropy(entropy: float, trials: int) -> None:
    """1 + 9 (H - .01) / 1.49, rounded down, as published."""
    assert Cntp(**Cntp.published).trials(entropy, 0.01, 1.5) == trials
    assert Cntp(max_trials=10).trials(9.0, 0.01, 1.5) == 10


def test_equal_lines_are_a_step() -> None:
    assert [Cntp(max_trials=4).trials(h, 1.0, 1.0) for h in (0.9, 1.0, 1.1)] == [1, 1, 4]


@pytest.mark.parametrize("seed", range(4))
def test_the_trial_of_the_lowest_perplexity_stays(seed: int) -> None:
    table = random_table(V, seed, 1.0)
    lane = written(Cntp(low_nats=0.1, high_nats=0.2, longest=3), table, most=12, seed=seed)
    logs = torch.log_softmax(table.double(), -1)
    text = [0, 1, *lane.new]
    starts = sorted({branch.start for branch in lane.branches})
    assert starts
    for start in starts:
        scores = {}
        for branch in (b for b in lane.branches if b.start == start):
            path = [*text[: 2 + start], *branch.tokens]
            each = [
                float(logs[path[i - 2], path[i - 1], path[i]]) for i in range(start + 2, len(path))
            ]
            scores[branch.number] = np.mean(each)
        kept = [b for b in lane.branches if b.start == start and b.kept]
        assert len(kept) == 1
        assert scores[kept[0].number] == pytest.approx(max(scores.values()), abs=1e-5)
        assert kept[0].tokens[: kept[0].kept] == lane.new[start : start + kept[0].kept]


def test_a_trial_ends_at_a_punctuation_mark_or_its_length() -> None:
    strategy = Cntp(low_nats=0.01, high_nats=0.02, longest=4)
    lane = written(strategy, random_table(V, 3, 0.5), most=12)
    assert max(len(branch.records) for branch in lane.branches) == 4
    lane.spell = lambda ids: "." if 2 in ids else "x"
    assert strategy._over(lane, 2)
    assert not strategy._over(lane, 1)


def test_without_chance_all_trials_are_greedy() -> None:
    table = random_table(V, 2, 1.0)
    lane = written(Cntp(temperature=0, low_nats=0.1, high_nats=0.2), table, most=9)
    assert lane.new == written(Greedy(), table, most=9).new
