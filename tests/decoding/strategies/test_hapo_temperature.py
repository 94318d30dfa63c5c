"""The adaptive temperature by numpy, and in the distribution that is really drawn from."""

import math

import numpy as np
import pytest
import torch

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.adaptive_temperature import NAME, AdaptiveTemperature
from tokenarium.backend.decoding.pipeline import Pipeline
from tokenarium.backend.decoding.strategies import hapo_temperature
from tokenarium.backend.decoding.strategies.hapo_temperature import (
    LEAST_PAST,
    HapoTemperature,
    standing,
)

V = 7


def by_numpy(value: float, past: list[float], pivot: float) -> float:
    known = np.array(past)
    middle, spread = np.quantile(known, pivot), known.std()
    every = np.append((known - middle) / spread, (value - middle) / spread)
    return float(every[-1] / (every.max() if every[-1] > 0 else -every.min()))


def test_standing_is_scaled_on_either_side_by_itself() -> None:
    past = np.random.default_rng(0).normal(0, 1, 30).tolist()
    for value in (-3.0, -0.4, 0.2, 1.1, 4.0):
        assert standing(value, past, 0.8) == pytest.approx(by_numpy(value, past, 0.8))
    assert standing(9.0, past, 0.8) == 1
    assert standing(-9.0, past, 0.8) == -1
    assert standing(float(np.quantile(past, 0.8)), past, 0.8) == 0
    assert standing(1.0, past[: LEAST_PAST - 1], 0.8) == 0
    assert standing(1.0, [0.5] * 20, 0.8) == 0


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_every_token_is_drawn_at_its_own_temperature(temperature: float) -> None:
    table = random_table(V, 4, 1.5)
    lane = written(HapoTemperature(tau=0.4, temperature=temperature), table, most=24)
    text, past, seen = [0, 1], [], set()
    for made in lane.records:
        warm = temperature * (1 + 0.4 * standing(math.log(made.entropy_nats), past, 0.8))
        probs = torch.softmax(table[text[-2], text[-1]] / warm, -1)
        assert made.final_probability == pytest.approx(float(probs[made.token]), rel=1e-4)
        past.append(math.log(made.entropy_nats))
        text.append(made.token)
        seen.add(round(warm, 6))
    assert len(seen) > 8
    assert lane.pipeline.names == ("model", NAME)
    assert all(len(made.left) == 2 for made in lane.records)


def test_a_step_that_changes_nothing_is_still_a_step_and_others_keep_their_places() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    probs = torch.softmax(logits, -1)
    adaptive = AdaptiveTemperature(
        repetition_penalty=1.2, top_k=3, top_p=0.9, factor=lambda entropy, _: 1.0
    )
    found = adaptive.stages(logits, probs, [0])
    wanted = Pipeline(repetition_penalty=1.2, top_k=3, top_p=0.9).stages(logits, probs, [0])
    assert [stage.name for stage in found] == list(adaptive.names)
    assert adaptive.names == ("model", "repetition penalty 1.2", NAME, "top-k 3", "top-p 0.9")
    torch.testing.assert_close(found[-1].probs, wanted[-1].probs)
    torch.testing.assert_close(found[2].probs, found[1].probs)


def test_the_factor_is_asked_with_entropy_and_varentropy() -> None:
    asked = []
    probs = torch.tensor([0.5, 0.25, 0.25, 0.0])

    def factor(entropy: float, varentropy: float) -> float:
        asked.append((entropy, varentropy))
        return 2.0

    found = AdaptiveTemperature(factor=factor).stages(probs.log(), probs, [0])
    entropy = 1.5 * math.log(2)
    spread = 0.5 * (math.log(2) - entropy) ** 2 + 0.5 * (2 * math.log(2) - entropy) ** 2
    assert asked == [pytest.approx((entropy, spread), rel=1e-5)]
    torch.testing.assert_close(found[-1].probs, torch.softmax(probs.log() / 2, -1))


def test_steps_count_as_soon_as_there_are_enough_of_them() -> None:
    past = [float(place) for place in range(hapo_temperature.LEAST_PAST)]
    assert hapo_temperature.standing(past[-1] + 1, past, 0.5) == 1
    assert hapo_temperature.standing(past[-1] + 1, past[1:], 0.5) == 0
