"""Entropy and varentropy quadrants: where a distribution lies, and what is done there."""

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.quadrants import Quadrants

V = 8
KNOWN = Calibration(
    np.linspace(0.2, 2.0, 19, dtype=np.float32), np.linspace(0.1, 1.9, 19, dtype=np.float32)
)


def in_lines(**lines: float) -> Quadrants:
    strategy = Quadrants()
    strategy._lines.update({"low": 0.5, "high": 1.5, "low2": 0.4, "high2": 1.0, **lines})
    return strategy


@pytest.mark.parametrize(
    ("entropy", "varentropy", "where"),
    [
        (0.4, 0.3, "sure"),
        (0.4, 1.1, "forked"),
        (0.4, 0.7, "between"),
        (1.6, 0.3, "flat"),
        (1.6, 1.1, "lost"),
        (1.6, 0.7, "between"),
        (1.0, 0.1, "between"),
        (0.5, 0.4, "between"),
        (1.5, 1.0, "between"),
    ],
)
def test_regions_do_not_overlap(entropy: float, varentropy: float, where: str) -> None:
    assert in_lines().quadrant(entropy, varentropy) == where


def test_lines_are_quantiles_or_as_given() -> None:
    lane = written(Quadrants(), random_table(V, 1), calibration=KNOWN)
    assert lane.lines["sure below"] == pytest.approx(0.65)
    assert lane.lines["doubtful above"] == pytest.approx(1.55)
    lane = written(Quadrants(**Quadrants.published), random_table(V, 1), calibration=KNOWN)
    assert lane.lines == {"sure below": 0.3, "doubtful above": 2.5}


def table_of(row: list[float]) -> torch.Tensor:
    return torch.tensor(row).log().expand(len(row), len(row), len(row)).clone()


@pytest.mark.parametrize(
    ("given", "factor"),
    [
        ({"low_nats": 9, "low_nats2": 99}, 0.0),  # sure
        ({"high_nats": 0.01, "low_nats2": 99}, 1.3),  # flat
        ({"high_nats": 0.01, "high_nats2": 1e-6}, 0.7),  # lost
    ],
)
def test_each_region_draws_at_its_temperature(given: dict[str, float], factor: float) -> None:
    row = [0.4, 0.3, 0.2, 0.1]
    strategy = Quadrants(**{"low": 0.0, "high": 1.0, **given})
    lane = written(strategy, table_of(row), most=12)
    logits = torch.tensor(row).log()
    probs = torch.softmax(logits / factor, -1) if factor else torch.tensor([1.0, 0, 0, 0])
    for made in lane.records:
        assert made.final_probability == pytest.approx(float(probs[made.token]), rel=1e-4)
    if not factor:
        assert lane.new == [0] * 12


def test_where_few_compete_the_likeliest_path_decides() -> None:
    # After 1 the model is sure of 3, after 0 it is not: 1 is less likely, its path likelier.
    rows = torch.full((4, 4, 4), 0.25)
    rows[:, 2] = torch.tensor([0.55, 0.43, 0.01, 0.01])
    rows[:, 1] = torch.tensor([0.001, 0.001, 0.001, 0.997])
    strategy = Quadrants(low=0.0, high=1.0, low_nats=1.0, high_nats2=0.01, candidates=2)
    lane = written(strategy, rows.log(), prompt=(0, 2), most=4)
    assert lane.new[0] == 1
    tried = [branch for branch in lane.branches if branch.start == 0]
    assert [branch.tokens[0] for branch in tried] == [0, 1]
    scores = [np.mean(np.log(p)) for p in ([0.55, 0.25, 0.25, 0.25], [0.43, 0.997, 0.25, 0.25])]
    assert [branch.score for branch in tried] == pytest.approx(scores, abs=1e-5)
