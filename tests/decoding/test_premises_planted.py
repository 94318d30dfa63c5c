"""Premises that compare states, columns, contrasts and drawn texts: naive twins, planted models."""

from itertools import permutations
from math import log

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, attention_of, lane_of, random_table, small_table
from tests.decoding.test_premise import PROMPT, V, measured, plain_of
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.chance import chance_bound
from tokenarium.backend.decoding.constraints.no_letters import NoLetters
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.strategies.contrastive import Contrastive
from tokenarium.backend.decoding.strategies.critical_tokens import CriticalTokens
from tokenarium.backend.decoding.strategies.guard import Guard
from tokenarium.backend.decoding.strategies.mirostat import Mirostat
from tokenarium.backend.decoding.strategies.opera import Opera
from tokenarium.backend.decoding.strategies.rectification import Rectification
from tokenarium.backend.decoding.strategies.token_values import TokenValues
from tokenarium.backend.decoding.strategies.tree_search import TreeSearch
from tokenarium.backend.decoding.strategy import Strategy

UNSURE_AT_FIRST = Calibration(
    np.float32([3, *[0.1] * 11]), np.ones(12, np.float32), np.ones(12, np.float32), (2,) * 12
)
"""Plain decoding whose first step is the most unsure one."""


def ready(strategy: Strategy, table: torch.Tensor, plain: Calibration = UNSURE_AT_FIRST) -> Lane:
    return lane_of(strategy, TableReader(table), PROMPT, most=14, calibration=plain)


def test_isotropy_is_that_of_all_pairs() -> None:
    table = random_table(V, 3)
    premise, _ = measured(Contrastive(), table)
    tokens = [*PROMPT, *plain_of(table).tokens]
    rows = [table[tokens[max(0, at - 1)] if at else 0, tokens[at]].numpy() for at in
            range(len(tokens))]  # fmt: skip
    pairs = [
        float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))
        for number, a in enumerate(rows)
        for other, b in enumerate(rows)
        if number != other
    ]
    assert premise.value == pytest.approx(1 - np.mean(pairs), abs=1e-5)
    assert premise.drawing is not None
    assert premise.drawing.series[1].y[-1] == pytest.approx(
        max(float(rows[-1] @ b) / float(np.linalg.norm(rows[-1]) * np.linalg.norm(b))
            for b in rows[:-1]), abs=1e-5)  # fmt: skip
    alike = torch.zeros(V, V, V) + torch.arange(V) + 0.01 * random_table(V, 3)
    assert measured(Contrastive(), alike)[0].holds is False


def test_columns_that_lead_are_those_of_a_naive_count() -> None:
    table = random_table(V, 5)
    opera = Opera(window=5, same=3, recent=4, score="product", sigma=2.0)
    premise, _ = measured(opera, table)
    tokens = [*plain_of(table).tokens]
    leaders: list[int] = []
    long = 0
    for step in range(1, len(tokens)):
        first = max(0, step - 4)
        best, found = -1.0, -1
        for column in range(first, step):
            score = 1.0
            for row in range(column, step + 1):
                weights = attention_of([*PROMPT, *tokens[: row + 1]]).amax(0)
                score *= 2.0 * float(weights[len(PROMPT) + column])
            if score > best:
                best, found = score, column
        leaders.append(found)
        recent = leaders[-4:]
        most = max(recent, key=recent.count)
        long += recent.count(most) >= 3 and most < step
    assert premise.drawing is not None
    assert [one - 1 for one in premise.drawing.series[0].y] == leaders
    assert premise.value == pytest.approx(long / len(tokens))
    assert 0 < long < len(tokens), "else nothing is told apart"


def test_critical_tokens_are_those_of_the_contrast_by_hand() -> None:
    table = random_table(V, 4)
    premise, _ = measured(CriticalTokens(least=0.0), table)
    path, critical = [*PROMPT], 0
    for token in plain_of(table).tokens:
        p = torch.softmax(table[path[-2], path[-1]].double(), -1)
        q = torch.softmax(small_table(table)[path[-2], path[-1]].double(), -1)
        left = p**2 / q
        left = left / left.sum()
        critical += bool(left[token] < 0.5) and int(left.argmax()) != token
        path.append(token)
    assert critical
    assert premise.value == pytest.approx(critical / len(plain_of(table).tokens))


def test_by_chance_is_what_all_orders_give() -> None:
    flags = [True, True, False, False, False, True]

    def apart(order: np.ndarray) -> float:
        return float(np.ptp(order.reshape(2, 3).mean(1)))

    every = np.quantile([apart(np.array(one, float)) for one in permutations(flags)], 0.95)
    assert chance_bound(flags, apart, np.random.default_rng(0)) == pytest.approx(every)


def decided_by_the_first(likely: float = 6.0) -> torch.Tensor:
    """Return logits where 2 or 3 follow the prompt, and every token then follows itself."""
    table = torch.zeros(V, V, V)
    table[0, 1, 2], table[0, 1, 3] = likely, likely - 0.1
    for token in range(2, V):
        table[:, token, token] = 12.0
    return table


def test_texts_that_the_first_token_decides_are_told_from_others() -> None:
    strategy = TokenValues(candidates=2, length=4)
    lane = ready(strategy, decided_by_the_first())
    lane.right = lambda new: new[-1] == 3
    premise = strategy.premise(lane)
    assert premise.holds
    assert premise.value == pytest.approx(1)
    assert "0 after 'c', 16 after 'd' answer rightly" in premise.measured
    settled = ready(strategy, decided_by_the_first())
    settled.right = lambda new: 3 in new
    late = Calibration(np.float32([2, *[3] * 11]), np.ones(12, np.float32), np.ones(12, np.float32),
                       (3,) * 12)  # fmt: skip
    settled.calibration = late  # after the first step the answer stands: nothing is left to decide
    assert "at step 1 of plain decoding" in strategy.premise(settled).measured
    ending = strategy.premise(ready(strategy, decided_by_the_first()))
    assert ending.holds, "without an answer the ends are compared"
    table = torch.zeros(V, V, V)
    table[0, 1, 2], table[0, 1, 3] = 6.0, 5.9
    lane = ready(strategy, table)  # any token follows any other: the first one decides nothing
    lane.right = lambda new: new[-1] % 2 == 0
    other = strategy.premise(lane)
    assert other.holds is False
    assert 0.2 < np.mean(other.drawing.series[0].y if other.drawing else [0]) < 0.8


def test_confident_texts_are_right_or_wrong_as_planted() -> None:
    table = decided_by_the_first()
    table[:, 3] = 0.0  # after 3 any token follows: texts by it are far from sure
    for wanted, holds in ((2, True), (3, False)):
        lane = ready(TreeSearch(), table)
        lane.right = lambda new, wanted=wanted: new[0] == wanted  # type: ignore[misc]
        premise = TreeSearch().premise(lane)
        assert premise.holds is holds
        assert premise.value == pytest.approx(float(holds), abs=0.2)
    for answer in (True, False):
        lane = ready(TreeSearch(), table)
        lane.right = lambda _, answer=answer: answer  # type: ignore[misc]
        assert TreeSearch().premise(lane).holds is None
    unknown = ready(TreeSearch(), table)
    assert TreeSearch().premise(unknown).holds is None


def test_zipfs_law_holds_where_it_was_planted() -> None:
    size = 60
    draw = torch.Generator().manual_seed(2)
    ranks = torch.stack([torch.randperm(size, generator=draw) for _ in range(size * size)])
    zipf = (-1.3 * (ranks + 1.0).log()).reshape(size, size, size)
    steep = torch.where(ranks < 12, 0.0, -7.0).reshape(size, size, size)
    for table, holds in ((zipf, True), (steep, False)):
        lane = lane_of(Mirostat(), TableReader(table), PROMPT, calibration=plain_of(table))
        premise = Mirostat().premise(lane)
        assert premise.holds is holds, premise.measured
        assert premise.drawing is not None
        bound = 2 * float(np.quantile(plain_of(table).entropy_nats.astype(float), 0.5))
        row = torch.softmax(table[0, 1].double(), -1)
        counted = sum(-log(p) <= bound for p in row.tolist())
        assert 10 ** premise.drawing.series[0].y[0] == pytest.approx(max(1, counted))


def test_texts_near_to_a_phrase_are_those_by_hand() -> None:
    table = random_table(V, 6)
    guard = Guard(phrases="ab", window=2, least=0.45)
    premise, _ = measured(guard, table)
    tokens, near = plain_of(table).tokens, 0
    for step, token in enumerate(tokens):
        newest = np.eye(V)[[*tokens[max(0, step - 1) : step], token]].sum(0)
        phrase = np.eye(V)[[0, 1]].mean(0)
        near += newest @ phrase / np.linalg.norm(newest) / np.linalg.norm(phrase) > 0.45
    assert 0 < near < len(tokens)
    assert premise.value == pytest.approx(near / len(tokens))


def test_texts_that_keep_a_constraint_are_counted() -> None:
    strategy = Rectification(candidates=2, rollouts=8, length=4)
    assert strategy.premise(ready(strategy, decided_by_the_first())).holds is None
    for letters, kept in (("c", 0.5), ("cd", 0.0), ("h", 1.0)):
        lane = ready(strategy, decided_by_the_first())
        lane.allowed = lane.under(NoLetters(letters=letters))
        premise = strategy.premise(lane)
        assert premise.value == pytest.approx(kept, abs=0.13)
        assert premise.holds is (kept > 0)
        assert premise.bound == 1 / strategy.rollouts
