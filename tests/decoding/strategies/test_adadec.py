"""AdaDec against every path read by hand."""

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.adadec import AdaDec
from tokenarium.backend.decoding.strategies.greedy import Greedy

V = 6
KNOWN = Calibration(np.linspace(0.0, 1.6, 17, dtype=np.float32), np.ones(17, np.float32))


def by_hand(table: torch.Tensor, prompt: list[int], line: float, most: int, **at: int) -> list[int]:
    """Return what the definition writes: the mean ln p of each candidate's greedy path decides."""
    logs = torch.log_softmax(table.double(), -1)
    text = list(prompt)
    while len(text) < len(prompt) + most:
        now = logs[text[-2], text[-1]]
        entropy = -float((now.exp() * now).sum())
        order = now.argsort(descending=True, stable=True).tolist()
        if entropy <= line:
            text.append(order[0])
            continue
        scores = []
        for token in order[: at["candidates"]]:
            path, total = [*text, token], float(now[token])
            room = len(prompt) + most - len(path)
            ahead = min(at["look_ahead"], room)
            for _ in range(ahead):
                after = logs[path[-2], path[-1]]
                path.append(int(after.argmax()))
                total += float(after.max())
            scores.append(total / (1 + ahead))
        text.append(order[int(np.argmax(scores))])
    return text[len(prompt) :]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("look_ahead", [1, 4])
def test_it_takes_the_candidate_of_the_likeliest_path(seed: int, look_ahead: int) -> None:
    table = random_table(V, seed, 1.5)
    strategy = AdaDec(threshold=0.9, look_ahead=look_ahead)
    lane = written(strategy, table, most=9)
    wanted = by_hand(table, [0, 1], 0.9, 9, candidates=3, look_ahead=look_ahead)
    assert lane.new == wanted
    assert any(row[7] == 2 for row in lane.journal.rows), "it never paused"


def test_it_differs_from_greedy_somewhere_and_not_above_its_threshold() -> None:
    tables = [random_table(V, seed, 1.5) for seed in range(8)]
    texts = [written(AdaDec(threshold=0.5), table, most=9).new for table in tables]
    plain = [written(Greedy(), table, most=9).new for table in tables]
    assert texts != plain
    assert [written(AdaDec(threshold=2.0), table, most=9).new for table in tables] == plain


def test_the_threshold_is_a_quantile_of_plain_decoding() -> None:
    lane = written(AdaDec(quantile=0.5), random_table(V, 1), calibration=KNOWN)
    assert lane.lines == {"pause above": pytest.approx(0.8)}
    lane = written(AdaDec(quantile=0.5, threshold=1.1), random_table(V, 1), calibration=KNOWN)
    assert lane.lines == {"pause above": 1.1}


def test_nothing_is_read_after_an_end_of_text() -> None:
    table = torch.zeros(4, 4, 4)
    table[..., 3] = 0.1
    lane = written(AdaDec(threshold=0.1, candidates=4, look_ahead=3), table, most=6, end=3)
    assert all(branch.tokens[:-1].count(3) == 0 for branch in lane.branches)


def test_it_reads_up_to_the_last_token_of_the_text_and_no_further() -> None:
    for most in (4, 7):
        lane = written(AdaDec(threshold=0.1, look_ahead=5), random_table(V, 2, 1.0), most=most)
        assert max(branch.end for branch in lane.branches) == most
        longest = max(len(branch.records) for branch in lane.branches if branch.start == 0)
        assert longest == min(6, most)
