"""Each step is transformers' own, alone and after one another."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.pipeline import Pipeline
from tokenarium.backend.decoding.strategies.sampling import Sampling

PATH = [3, 5, 5, 9, 11]
V = 60
STEPS = {
    "repetition_penalty": (1.3, RepetitionPenaltyLogitsProcessor),
    "temperature": (0.7, TemperatureLogitsWarper),
    "top_k": (12, TopKLogitsWarper),
    "top_p": (0.8, TopPLogitsWarper),
    "min_p": (0.1, MinPLogitsWarper),
    "typical_p": (0.6, TypicalLogitsWarper),
}


def logits(seed: int) -> torch.Tensor:
    return 3 * torch.randn(V, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("names", [*((name,) for name in STEPS), (*STEPS,), ("top_p", "typical_p")])
def test_steps_are_those_of_transformers(names: tuple[str, ...]) -> None:
    pipeline = Pipeline(**{name: STEPS[name][0] for name in names})
    theirs = LogitsProcessorList([STEPS[name][1](STEPS[name][0]) for name in names])
    for seed in range(20):
        row = logits(seed)
        stages = pipeline.stages(row, row.softmax(-1), PATH)
        assert [stage.name for stage in stages] == list(pipeline.names)
        expected = theirs(torch.tensor([PATH]), row[None].clone())[0].softmax(-1)
        torch.testing.assert_close(stages[-1].probs, expected, atol=1e-6, rtol=1e-5)
        assert (stages[-1].probs > 0).tolist() == (expected > 0).tolist()


def test_top_n_sigma_keeps_what_is_near_the_highest_at_every_temperature() -> None:
    row = logits(1)
    kept = row >= row.max() - 1.0 * row.std()
    for temperature in (0.5, 1.0, 2.0):
        pipeline = Pipeline(top_n_sigma=1.0, temperature=temperature)
        last = pipeline.stages(row, row.softmax(-1), PATH)[-1].probs
        assert (last > 0).tolist() == kept.tolist()
        expected = (row / temperature).masked_fill(~kept, -torch.inf).softmax(-1)
        torch.testing.assert_close(last, expected)


def test_nothing_asked_changes_nothing_and_temperature_0_is_one_hot() -> None:
    row = logits(2)
    probs = row.softmax(-1)
    assert [stage.name for stage in Pipeline().stages(row, probs, PATH)] == ["model"]
    cold = Pipeline(temperature=0.0).stages(row, probs, PATH)[-1].probs
    assert cold.argmax() == row.argmax()
    assert cold.sum() == cold.max() == 1


def test_sampling_hands_every_parameter_to_its_pipeline() -> None:
    given = {"temperature": 0.5, "top_k": 3, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.8}
    assert Sampling(**given).pipeline() == Pipeline(**given)


def test_sampling_draws_by_the_seed() -> None:
    table = random_table(7, 0)
    texts = {tuple(written(Sampling(), table, seed=seed).new) for seed in range(8)}
    assert len(texts) > 4
