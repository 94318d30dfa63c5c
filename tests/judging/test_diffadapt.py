"""Difficulty by entropy: a model that adds as told, and greedy decoding of transformers."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.judging.conftest import passage_of
from tokenarium.backend.judging.measures.diffadapt import LEVELS, DiffAdapt, _sum
from tokenarium.backend.judging.passage import Passage

SIGNS = "0123456789+= \n"


class Signs:
    """A token a character."""

    bos_token_id = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [SIGNS.index(sign) for sign in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(SIGNS[each] for each in ids)


def adding(sure: dict[str, float], wrong: set[str]) -> Passage:
    """Return a passage of a model that writes each sign of an answer with a given probability.

    Args:
        sure: by level that probability; the other signs share the rest.
        wrong: levels in which it is off by one.
    """

    def read(ids: list[int]) -> torch.Tensor:
        line = Signs().decode(ids).split("\n")
        assert line[-1], "the end of its line is the end of an answer"
        asked = next(each for each in reversed(line) if "=" in each)
        before, _, said = asked.partition("=")
        one, two = (int(each) for each in before.split("+"))
        level = next(name for name, (low, high) in LEVELS.items() if low <= one <= high)
        answer = f" {one + two + (level in wrong)}\n"
        assert answer.startswith(said)
        probs = torch.full((len(SIGNS),), (1 - sure[level]) / (len(SIGNS) - 1))
        probs[SIGNS.index(answer[len(said)])] = sure[level]
        return probs.log()[None]

    found = passage_of([[0.5, 0.5], [0.9, 0.1]], [0, 1, 0])
    loaded: Any = SimpleNamespace(unembed=lambda states: states, tokenizer=Signs())
    return Passage(**{**vars(found), "loaded": loaded, "read": read})


def entropy(sure: float) -> float:
    rest = (1 - sure) / (len(SIGNS) - 1)
    return -sure * math.log(sure) - (1 - sure) * math.log(rest)


@pytest.mark.parametrize(
    ("sure", "wrong"),
    [
        ({"easy": 0.9, "middle": 0.99, "hard": 0.6}, {"hard"}),
        ({"easy": 0.99, "middle": 0.9, "hard": 0.8}, {"middle", "hard"}),
    ],
)
def test_levels_are_those_of_a_model_that_adds(sure, wrong) -> None:
    found = DiffAdapt(questions=3).judge(adding(sure, wrong))
    for name, share in sure.items():
        assert found.details[f"{name}_nats"] == pytest.approx(entropy(share), abs=1e-6)
        assert found.details[f"{name}_right"] == (name not in wrong)
    dip = min(entropy(sure["easy"]), entropy(sure["hard"])) - entropy(sure["middle"])
    assert found.details["dip_nats"] == pytest.approx(dip, abs=1e-6)
    assert ("has its least in the middle" in found.notes[0]) == (dip > 0)
    two = [math.log(2), -0.9 * math.log(0.9) - 0.1 * math.log(0.1)]
    np.testing.assert_allclose(found.token_score, two)
    assert found.score == pytest.approx(np.mean(two))
    assert found.null.mean == pytest.approx(np.mean([entropy(each) for each in sure.values()]))
    highest = max(entropy(each) for each in sure.values())
    assert found.marked is not None
    assert found.marked.tolist() == [each > highest for each in two]


def test_sums_are_of_their_level_and_solved_ones_are_right() -> None:
    draw = np.random.default_rng(0)
    for low, high in LEVELS.values():
        seen: set[int] = set()
        for _ in range(40):
            asked, answer = _sum(draw, low, high)
            *solved, last = asked.split("\n")
            assert len(solved) == 4
            for line in (*solved, f"{last} {answer}"):
                one, two, added = (int(each) for each in line.replace("=", "+").split("+"))
                assert one + two == added
                seen |= {one, two}
        assert seen == {*range(low, high + 1)}


def test_an_answer_is_what_transformers_writes_greedily(twins) -> None:
    loaded, plain = twins("llama")

    def read(ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return loaded.body(input_ids=torch.tensor([ids])).last_hidden_state[0]

    passage = Passage(**{**vars(passage_of([[0.5, 0.5]], [0, 1])), "loaded": loaded, "read": read})
    asked = "1 + 2 = 3\n2 + 2 ="
    nats, right = DiffAdapt().answered(passage, asked, 4)
    ids = loaded.tokenizer(asked, add_special_tokens=False)["input_ids"]
    bos = loaded.tokenizer.bos_token_id
    given = torch.tensor([[*([] if bos is None else [bos]), *ids]])
    wanted, text = [], ""
    while len(wanted) < 5 and "\n" not in text:
        with torch.inference_mode():
            logits = plain(given).logits[0, -1].double()
        probs = logits.softmax(-1)
        wanted.append(float(-(probs * probs.log()).sum()))
        given = torch.cat([given, logits.argmax().view(1, 1)], 1)
        text = loaded.tokenizer.decode(given[0, -len(wanted) :])
    assert nats == pytest.approx(np.mean(wanted), abs=1e-4)
    assert right == (text.partition("\n")[0].strip() == "4")
