"""Columns by hand, the candidate they choose, and the way back."""

import math

import pytest
import torch

from tests.decoding.table import TableReader, attention_of, lane_of, random_table, written
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.opera import Opera

V = 8
ROWS = torch.tensor([[0.5, 1, 1, 1], [2.0, 0.4, 1, 1], [3.0, 1.5, 0.2, 1], [0.5, 2.0, 0.1, 9.0]])


def test_a_column_is_the_product_on_and_below_the_diagonal() -> None:
    """Columns: .5 x 2 x 3 x .5 = 1.5; .4 x 1.5 x 2 = 1.2; .2 x .1 = .02; the newest is left out."""
    assert Opera(score="product").leading(ROWS) == (0, pytest.approx(1.5))
    means = [1.5 ** (1 / 4), 1.2 ** (1 / 3), 0.02**0.5]
    assert Opera().leading(ROWS) == (0, pytest.approx(max(means)))


def by_hand(table: torch.Tensor, most: int, window: int) -> list[int]:
    text = [0, 1]
    while len(text) < 2 + most:
        row = table[text[-2], text[-1]]
        likely = row.topk(5).indices.tolist()
        if len(text) == 2:
            text.append(likely[0])
            continue
        scores = []
        for token in likely:
            path = [*text, token]
            first = max(2, len(path) - window)
            phi = 0.0
            for column in range(first, len(path) - 1):
                logs = [
                    math.log((last + 1) * float(attention_of(path[: last + 1]).amax(0)[column]))
                    for last in range(column, len(path))
                ]
                phi = max(phi, math.exp(sum(logs) / len(logs)))
            scores.append(float(row[token]) - 2 * phi)
        text.append(likely[max(range(5), key=scores.__getitem__)])
    return text[2:]


@pytest.mark.parametrize("seed", range(3))
def test_the_candidate_of_the_best_score_is_taken(seed: int) -> None:
    table = random_table(V, seed, 0.5)
    lane = written(Opera(returns=0, window=4, weight=2), table, most=14)
    assert lane.new == by_hand(table, 14, 4)
    assert lane.new != written(Greedy(), table, most=14).new


def test_it_goes_back_behind_a_token_that_leads_and_takes_another() -> None:
    table = random_table(V, 1, 0.5)
    strategy = Opera(same=2, recent=4, returns=1)
    lane = written(strategy, table, most=14)
    back = [row for row in lane.journal.rows if row[7] == 6]
    assert back
    first = min(int(row[0]) for row in back)
    [old] = [int(row[3]) for row in back if int(row[0]) == first]
    assert lane.new[first] != old
    assert lane.new[:first] == written(Opera(returns=0), table, most=14).new[:first]
    assert len(lane.new) == 14


def test_weights_come_from_the_last_layers_highest_head() -> None:
    lane = lane_of(Opera(sigma=2), TableReader(random_table(V, 2)), most=6)
    for token in (3, 4):
        lane.take(token)
    [branch] = lane.fork([5])
    rows = Opera(sigma=2).rows(lane, branch)
    wanted = 2 * attention_of([0, 1, 3, 4, 5]).amax(0)[2:]
    torch.testing.assert_close(rows[2], wanted)
    assert rows[0, 1:].tolist() == [1, 1]
