"""The dynamic temperature by its formula, and in what is really drawn from."""

import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.strategies.edt import Edt


def test_the_temperature_falls_as_the_entropy_does() -> None:
    strategy = Edt(theta=1.0)
    assert strategy.factor(1.0) == pytest.approx(0.8)
    assert strategy.factor(0.5) == pytest.approx(0.64)
    assert strategy.factor(0.0) == 0
    assert strategy.factor(1e9) == pytest.approx(1)
    assert Edt(theta=0.0).factor(0.0) == 1


def test_where_the_model_is_all_but_sure_the_likeliest_token_is_alone() -> None:
    table = torch.full((4, 4, 4), 10.0)
    table[..., 2] = 20.0
    lane = written(Edt(), table, most=4)
    assert lane.new == [2] * 4
    assert [made.final_probability for made in lane.records] == [1.0] * 4


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_every_token_is_drawn_at_its_own_temperature(temperature: float) -> None:
    table = random_table(6, 3, 1.5)
    lane = written(Edt(theta=0.8, temperature=temperature), table, most=16)
    text = [0, 1]
    for made, row in zip(lane.records, lane.journal.rows, strict=True):
        logits = table[text[-2], text[-1]]
        probs = logits.softmax(-1)
        entropy = float(-(probs * probs.log()).sum())
        warm = temperature * 0.8 ** (0.8 / entropy)
        drawn = torch.softmax(logits / warm, -1)
        assert made.final_probability == pytest.approx(float(drawn[made.token]), rel=1e-4)
        assert row[5] == pytest.approx(warm / temperature, rel=1e-4)
        text.append(made.token)
