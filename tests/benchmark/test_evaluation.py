"""Answers under a policy against transformers' own forward pass, and against each other."""

import numpy as np
import pytest
import torch

from tokenarium.backend.benchmark.evaluation import (
    ROWS,
    Answered,
    Evaluation,
    full_reading,
    readings,
)
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.runs.events import Cancelled

DRAW = torch.Generator().manual_seed(5)
IDS = torch.randint(2, 258, (160,), generator=DRAW).tolist()
LONG = Exercise(tuple(IDS[:50]), tuple(IDS[50:60]), tuple(IDS[60:]))


def run(loaded, slug: str, budget: int, exercise: Exercise = LONG, aware: bool = True) -> Answered:
    full = full_reading(loaded, exercise, lambda: None, 1 << 20)
    policy = Policy.registry.find(slug)()
    reading = Evaluation(loaded, policy, budget, 0, aware, lambda: None)
    return reading.answer(exercise, full)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize("aware", [True, False])
def test_full_cache_predicts_what_one_pass_does(twins, family: str, aware: bool) -> None:
    loaded, oracle = twins(family)
    found = run(loaded, "full", 1, aware=aware)
    with torch.inference_mode():
        logits = oracle(torch.tensor([IDS])).logits[0, 59:-1].log_softmax(-1)
    expected = -logits.gather(1, torch.tensor(IDS[60:])[:, None])[:, 0]
    assert len(LONG.answer) > ROWS
    np.testing.assert_allclose(found.surprisal, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.likeliest, (logits.argmax(-1) == torch.tensor(IDS[60:])))
    np.testing.assert_allclose(found.kl, 0, atol=1e-5)
    assert found.agree.all()


def test_an_answer_that_greedy_decoding_gives_is_right(twins) -> None:
    loaded, oracle = twins("llama")
    ids = IDS[:30]
    with torch.inference_mode():
        for _ in range(5):
            ids = [*ids, int(oracle(torch.tensor([ids])).logits[0, -1].argmax())]
    others = tuple(token for token in range(2, 9) if token != ids[30])
    right = Exercise(tuple(ids[:30]), (), tuple(ids[30:]), others=others)
    found = run(loaded, "full", 1, right)
    assert found.likeliest.all()
    assert found.chosen
    wrong = Exercise(tuple(ids[:30]), (), (others[0], *ids[31:]), others=(ids[30],))
    found = run(loaded, "full", 1, wrong)
    assert not found.likeliest[0]
    assert not found.chosen


def test_a_question_read_afterwards_is_not_known_when_entries_go(twins) -> None:
    loaded, _ = twins("llama")
    before, after = run(loaded, "snapkv", 16), run(loaded, "snapkv", 16, aware=False)
    assert (before.surprisal != after.surprisal).any()
    # The question joins what was kept of the context: ten entries more in each of 3 x 2 heads.
    assert after.cache_bytes[0] > before.cache_bytes[0]


def test_a_small_cache_diverges_and_holds_less(twins) -> None:
    loaded, _ = twins("llama")
    full, small = run(loaded, "full", 1), run(loaded, "recent", 12)
    assert small.kl.mean() > 0.01
    assert not small.agree.all()
    assert (small.cache_bytes < full.cache_bytes).all()
    assert len(small.step_ms) == 100
    assert (small.step_ms > 0).all()
    assert small.prefill_ms > 0


@pytest.mark.parametrize("calls", [0, 2, 4, 50])
def test_cancelled_it_stops(twins, calls: int) -> None:
    loaded, _ = twins("llama")
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cancelled("enough")

    def both() -> None:
        full = full_reading(loaded, LONG, check)
        Evaluation(loaded, Policy.registry.find("recent")(), 12, 0, True, check).answer(LONG, full)

    with pytest.raises(Cancelled):
        both()
    assert left[0] == -1


ONE = Exercise(tuple(IDS[:50]), tuple(IDS[50:60]), tuple(IDS[60:61]))


def test_the_first_token_of_an_answer_tells_policies_apart(twins) -> None:
    loaded, _ = twins("llama")
    full, recent, random = (run(loaded, slug, 12, ONE) for slug in ("full", "recent", "random"))
    assert full.kl[0] == pytest.approx(0, abs=1e-5)
    assert recent.kl[0] > 1e-3
    assert random.kl[0] > 1e-3
    assert len({full.surprisal[0], recent.surprisal[0], random.surprisal[0]}) == 3


@pytest.mark.parametrize(
    ("context", "question", "aware", "parts"),
    [
        ((1, 2, 3), (4, 5), True, [(1, 2, 3, 4), (5,)]),
        ((1, 2, 3), (4, 5), False, [(1, 2, 3), (4, 5)]),
        ((1, 2, 3), (), True, [(1, 2), (3,)]),
        ((1, 2, 3), (), False, [(1, 2), (3,)]),
        ((1,), (), True, [(1,)]),
    ],
)
def test_entries_go_before_the_last_token_of_the_question(context, question, aware, parts) -> None:
    assert readings(Exercise(context, question, (6,)), aware) == parts
