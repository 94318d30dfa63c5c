"""Refusal dial, token forcing scan, and early exit of reasoning, by hand on the table model."""

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.strategies.early_exit_reasoning import EarlyExitReasoning
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.refusal_token import RefusalToken
from tokenarium.backend.decoding.strategies.token_forcing import TokenForcing, loops

V = 8


def test_openers_rise_by_the_push_at_the_first_token_alone() -> None:
    table = random_table(V, 1, 1.0)
    probs = torch.softmax(table[0, 1], -1)
    order = probs.argsort(descending=True).tolist()
    opener = chr(97 + order[3])
    gap = float(table[0, 1][order[0]] - table[0, 1][order[3]])
    for push, first in ((gap - 0.01, order[0]), (gap + 0.01, order[3])):
        lane = written(RefusalToken(openers=f"{opener}, {opener}b", push=push), table, most=5)
        assert lane.new[0] == first
        rows = [row for row in lane.journal.rows if row[7] == 0]
        assert rows[0][5] == pytest.approx(float(probs[order[3]]), rel=1e-5)
        plain = written(Greedy(), table, prompt=(1, first), most=4).new
        assert lane.new[1:] == plain


def test_a_threshold_decides_by_the_mass_of_openers() -> None:
    table = random_table(V, 1, 1.0)
    probs = torch.softmax(table[0, 1], -1)
    order = probs.argsort(descending=True).tolist()
    openers = f"{chr(97 + order[0])},{chr(97 + order[3])}"
    mass = float(probs[order[0]] + probs[order[3]])
    firsts = [
        written(RefusalToken(openers=openers, threshold=at), table, most=3).new[0]
        for at in (mass - 0.01, mass + 0.01)
    ]
    assert firsts == [order[0], order[1]]


def test_what_is_known_by_heart_is_found_after_an_unlikely_token() -> None:
    table = random_table(V, 2, 0.5)
    least = int(table[0, 1].argmin())
    secret = [least, (least + 1) % V, (least + 2) % V, (least + 3) % V]
    path = [1, *secret]
    for a, b, c in zip(path, path[1:], path[2:], strict=False):
        table[a, b, c] = 12.0
    lane = written(TokenForcing(forced=8, look_ahead=3), table, most=6)
    assert lane.new[:4] == secret
    scores = {row[3]: row[5] for row in lane.journal.rows if row[7] == 1}
    assert len(scores) == V
    assert max(scores, key=lambda token: scores[token]) == least
    logs = torch.log_softmax(table.double(), -1)
    each = [float(logs[a, b, c]) for a, b, c in zip(path, path[1:], path[2:], strict=False)]
    assert scores[least] == pytest.approx(np.mean(each), abs=1e-4)


def test_a_loop_is_a_period_three_times() -> None:
    assert loops([1, 2, 2, 2])
    assert loops([9, 1, 2, 1, 2, 1, 2])
    assert not loops([1, 2, 1, 2])
    assert not loops([2, 2, 2, 1])


def test_reasoning_ends_once_the_answer_stays() -> None:
    table = random_table(V, 5, 1.0)
    table[:, 6] = table[0, 6]  # after "gh" the answer is the same whatever came before
    table[6, 7] = 0.0
    table[6, 7, 2] = 5.0
    strategy = EarlyExitReasoning(every=2, exit_text="gh", answer_tokens=1, alike=2)
    plain = written(Greedy(), table, most=12).new
    lane = written(strategy, table, most=12)
    assert lane.new == [*plain[:4], 6, 7, 2]
    assert lane.ended == "stop"
    asked = [branch for branch in lane.branches if branch.parent == 0]
    assert [branch.tokens for branch in asked] == [[6, 7, 2], [6, 7, 2]]
    other = written(EarlyExitReasoning(every=2, exit_text="gh", alike=9), table, most=12)
    assert other.new == plain
