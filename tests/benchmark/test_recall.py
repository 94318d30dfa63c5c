"""Attention recall of an answer against transformers' eager attention and sets made by hand."""

import numpy as np
import pytest
import torch

from tests.benchmark.test_evaluation import IDS
from tests.cache.asking import ask, run
from tokenarium.backend.benchmark.evaluation import Answered, Evaluation, FullReading, full_reading
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.policy import Policy

EXERCISE = Exercise(tuple(IDS[:40]), tuple(IDS[40:46]), tuple(IDS[46:55]))
BUDGET = 12


def reading(loaded, exercise: Exercise = EXERCISE, most_bytes: int = 1 << 20) -> FullReading:
    return full_reading(loaded, exercise, lambda: None, most_bytes)


def answered(
    loaded, slug: str, full: FullReading, aware: bool = True, exercise: Exercise = EXERCISE
) -> Answered:
    policy = Policy.registry.find(slug)()
    return Evaluation(loaded, policy, BUDGET, 0, aware, lambda: None).answer(exercise, full)


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_recall_is_eager_attention_to_the_entries_that_were_there(twins, family, aware) -> None:
    loaded, oracle = twins(family)
    ids = torch.tensor([[*EXERCISE.prompt, *EXERCISE.answer[:-1]]])
    with torch.inference_mode():
        layers = oracle(ids, output_attentions=True).attentions
    attention = torch.stack([own[0].mean(0) for own in layers])  # [L, T, T]
    # Twelve entries stay of what was read first, and the question's last token joins them before
    # it is dropped again; a question that comes later joins with all its six tokens.
    oldest = [33 if aware else 28, *range(34, 34 + len(EXERCISE.answer) - 1)]
    expected = [float(attention[:, 45 + n, old:].sum(1).mean()) for n, old in enumerate(oldest)]
    found = answered(loaded, "recent", reading(loaded), aware)
    np.testing.assert_allclose(found.recall, expected, rtol=1e-4)
    assert min(expected) < 0.9  # something is lost


def test_recall_is_what_a_run_under_the_policy_does_not_lose(twins, letters) -> None:
    cases = (("llama", ["token_select", "hip", "snapkv", "pitome"]), ("mistral", ["recent"]))
    said, more = letters(40), letters(7)
    for family, slugs in cases:
        loaded, _ = twins(family)
        values = {"budget": BUDGET, "continuation": more, "noise": False}
        result = run(loaded, ask(said, policies=slugs, **values))
        ids = (*result.prompt_ids.tolist(), *result.token_ids[0].tolist())
        # The run's prompt is what is read before entries go; its first token ends the question.
        prompt = len(result.prompt_ids) + 1
        exercise = Exercise(ids[:prompt], (), ids[prompt:])
        full = reading(loaded, exercise)
        for number, slug in enumerate(slugs):
            expected = 1 - result.lost_mass[number, 1:].mean(1)
            found = answered(loaded, slug, full, exercise=exercise).recall
            np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=slug)
            assert found.min() < 0.95, slug


def test_of_a_long_answer_some_tokens_are_looked_at_and_of_any_one(twins) -> None:
    loaded, _ = twins("llama")
    every = answered(loaded, "recent", reading(loaded)).recall
    row = sum(own[:, 0].nbytes for own in reading(loaded).attention.weights.values())
    few = reading(loaded, most_bytes=4 * row)
    assert few.attention.answer == (0, 3, 5, 8)
    np.testing.assert_allclose(few.states, reading(loaded).states)
    found = answered(loaded, "recent", few).recall
    assert np.flatnonzero(np.isfinite(found)).tolist() == [0, 3, 5, 8]
    np.testing.assert_allclose(found[[0, 3, 5, 8]], every[[0, 3, 5, 8]], rtol=1e-6)
    assert reading(loaded, most_bytes=0).attention.answer == (0,)
    np.testing.assert_allclose(answered(loaded, "full", reading(loaded)).recall, 1, rtol=1e-6)


def test_the_answers_last_token_may_be_dropped_too(twins) -> None:
    loaded, _ = twins("llama")
    found = answered(loaded, "knorm", reading(loaded)).recall  # protects no newest token
    assert np.isfinite(found).all()
    assert found.max() < 1
