"""Questions about letters: their answers by counting, candidates by full passes, planted slopes."""

import numpy as np
import pytest
import torch

from tests.tokenization.toys import SETTINGS, bundled
from tokenarium.backend import CharactersRequest, Lab, UserError
from tokenarium.backend.tokenization.characters import (
    WORDS,
    Question,
    Task,
    prompt,
    questions,
    slope,
    usual_answer,
)
from tokenarium.backend.tokenization.characters_runner import _token_of

TARGET = "bundled/target"


@pytest.mark.parametrize("task", ["count", "find"])
def test_answers_are_what_counting_gives(task: Task) -> None:
    for each in questions(WORDS, task, 3):
        if task == "count":
            assert each.answer == each.word.count(each.letter)
        else:
            assert each.word[each.answer - 1] == each.letter
            assert each.word.count(each.letter) == 1
        assert each.answer in each.candidates


def test_a_prompt_shows_answered_questions_and_ends_before_the_answer() -> None:
    asked = Question("strawberry", "r", 3, tuple(range(10)))
    text, begin = prompt(asked, "count", 2)
    assert text.splitlines()[0].endswith('letter "f"? Answer: 2')
    assert text.endswith('In the word "strawberry", how many times is the letter "r"? Answer:')
    assert text[begin:].startswith("strawberry")


def test_the_usual_answer_is_counted() -> None:
    asked = [Question("a", "a", answer, (0, 1)) for answer in (1, 1, 2, 3)]
    assert usual_answer(asked) == (1, 0.5)


def test_a_planted_slope_is_found_and_none_is_not() -> None:
    draw = np.random.default_rng(0)
    x = draw.integers(1, 8, 80).astype(float)
    value, low, high = slope(x, 2 - 0.5 * x + draw.normal(0, 0.5, 80), 0)
    assert value == pytest.approx(-0.5, abs=0.08)
    assert low < -0.5 < high < 0
    _, low, high = slope(x, draw.normal(0, 1, 80), 0)
    assert low < 0 < high
    assert np.isnan(slope(np.ones(9), x[:9], 0)).all()


def test_the_token_of_a_letter_is_that_of_the_prompt() -> None:
    vocabulary = bundled()
    asked = Question("strawberry", "r", 3, tuple(range(10)))
    text, begin = prompt(asked, "count", 1)
    [ids] = vocabulary.engine.encode([text])
    pieces, place = [vocabulary.spelled[key] for key in ids], 0
    length, count = _token_of(vocabulary, text, asked, begin)
    inside = []
    for piece in pieces:
        if place < begin + len(asked.word) and place + len(piece) > begin:
            inside.append((place, piece))
        place += len(piece)
    assert count == len(inside)
    [holding] = [p for at, p in inside if at <= begin + 2 < at + len(p)]
    assert length == len(holding.strip(b' "'))


def test_margins_are_those_of_whole_passes() -> None:
    with Lab(SETTINGS) as lab:
        request = CharactersRequest(model=TARGET, words=("planet",), shots=1)
        result = lab.run(request).result
        asked = questions(("planet",), "count", 0)
        with lab.models_of(request) as used, torch.inference_mode():
            for number, each in enumerate(asked):
                text, _ = prompt(each, "count", 1)
                scores = []
                for candidate in each.candidates:
                    ids = used.model.tokenizer(f"{text} {candidate}", return_tensors="pt").input_ids
                    p = torch.log_softmax(used.model.model(ids).logits[0], -1)
                    scores.append(float(p[:-1].gather(1, ids[0, 1:, None]).sum()))
                right = scores.pop(each.candidates.index(each.answer))
                margin = float(result.margin_nats[number])
                assert margin == pytest.approx(right - max(scores), abs=1e-3)
        with pytest.raises(UserError, match="words has 'a b'"):
            lab.request(CharactersRequest, model=TARGET, words=("a b",))
