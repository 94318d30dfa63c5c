"""Regions that a strategy declares are those in which it acts, and the figure draws them."""

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import DecodeRequest, DecodeResult
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.strategies.cntp import Cntp
from tokenarium.backend.decoding.strategies.quadrants import Quadrants
from tokenarium.ui.figures.decoding import scatter

KNOWN = Calibration(
    np.linspace(0.1, 4.0, 40, dtype=np.float32), np.linspace(0.2, 6.0, 40, dtype=np.float32)
)


def test_a_quadrant_is_the_region_that_a_distribution_lies_in() -> None:
    strategy = Quadrants()
    strategy._lines.update(strategy._lines_of(KNOWN))
    regions = strategy.regions(KNOWN)
    seen = set()
    for entropy, varentropy in np.random.default_rng(0).uniform(0, (5, 7), (300, 2)):
        found = [region.name for region in regions if region.has(entropy, varentropy)]
        assert [strategy.quadrant(entropy, varentropy)] == (found or ["between"])
        seen |= set(found)
    assert seen == {"sure", "forked", "flat", "lost"}
    assert not any(region.has(1.0, 1.0) for region in Quadrants(low=0, high=1).regions(KNOWN))


def test_trials_begin_where_their_region_does() -> None:
    strategy = Cntp(max_trials=4)
    more, most = strategy.regions(KNOWN)
    low, high = more.entropy_nats
    assert strategy.trials(low, low, high) == 1
    assert strategy.trials(high, low, high) == 4
    assert most.entropy_nats[0] == high


@pytest.mark.timeout(60)
def test_the_figure_draws_what_the_strategy_of_a_lane_declares() -> None:
    with shipped_lab() as lab:
        asked = DecodeRequest(
            model="bundled/draft", text="The dog", strategies=["quadrants", "adadec"],
            max_new_tokens=24,
        )  # fmt: skip
        result = lab.run(asked).result
    assert isinstance(result, DecodeResult)
    assert result.regions(0) == ()
    figure = scatter(result)
    assert figure is not None
    drawn = {shape.name for shape in figure.layout.shapes if shape.type == "rect"}
    assert {"sure", "lost", "looks ahead"} <= drawn
    [line] = {shape.x0 for shape in figure.layout.shapes if shape.name == "pause above"}
    ahead = next(shape for shape in figure.layout.shapes if shape.name == "looks ahead")
    assert ahead.x0 == pytest.approx(line)
