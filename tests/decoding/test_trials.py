"""Trials of lanes that draw: each is a run by another seed, and right ones are counted."""

import numpy as np
import pytest

from tests.labs import shipped_lab
from tests.ui.test_sentence import words
from tokenarium.backend import DecodeEstimate, DecodeRequest, DecodeResult, Lab, StrategySpec
from tokenarium.ui.components.decode_card import decode_sentence
from tokenarium.ui.components.decoding import score_words

ASKED = {
    "model": "bundled/draft",
    "text": "Once upon a time there was a little",
    "strategies": [
        StrategySpec("sampling"),
        StrategySpec("sampling", temperature=0.3),
        "contrastive",
    ],
    "max_new_tokens": 3,
    "answer": "girl",
}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return shipped_lab()


def decoded(lab: Lab, **more: object) -> DecodeResult:
    result = lab.run(DecodeRequest.model_validate({**ASKED, **more})).result
    assert isinstance(result, DecodeResult)
    return result


def test_trials_are_the_runs_of_the_next_seeds(lab: Lab) -> None:
    found = decoded(lab, seed=5, trials=6)
    alone = [decoded(lab, seed=5 + number) for number in range(6)]
    assert [lane.trials for lane in found.lanes] == [6, 6, 1]
    for number in (0, 1):
        lane = found.lanes[number]
        assert lane.trials_right == sum(bool(one.lanes[number].right) for one in alone)
        assert lane.token_ids.tolist() == alone[0].lanes[number].token_ids.tolist()
        assert (lane.passes, lane.right) == (
            alone[0].lanes[number].passes,
            alone[0].lanes[number].right,
        )
    counts = [lane.trials_right for lane in found.lanes[:2]]
    assert any(0 < count < 6 for count in counts), "else nothing is told apart"
    words = score_words(found.lanes[0])
    assert words.startswith(f"right in {counts[0]} of 6 trials (")
    low, high = found.lanes[0].right_interval
    z, share = 1.959964, counts[0] / 6  # both ends solve (p - share)^2 = z^2 p (1 - p) / n
    for end in (low, high):
        if 0 < end < 1:
            assert (end - share) ** 2 == pytest.approx(z**2 * end * (1 - end) / 6, rel=1e-6)
    assert score_words(found.lanes[2]) == ""


def test_without_an_answer_or_with_one_trial_nothing_is_written_again(lab: Lab) -> None:
    none = decoded(lab, answer="", trials=5)
    assert [lane.trials for lane in none.lanes] == [0, 0, 0]
    once = decoded(lab)
    assert [lane.trials for lane in once.lanes] == [1, 1, 1]
    np.testing.assert_array_equal(once.token_columns["token_id"], none.token_columns["token_id"])


def test_trials_cost_their_passes_and_say_where_they_tell_nothing(lab: Lab) -> None:
    costs = []
    for trials in (1, 4):
        cost = lab.estimate(DecodeRequest.model_validate({**ASKED, "trials": trials}))
        assert isinstance(cost, DecodeEstimate)
        costs.append([lane.passes for lane in cost.lanes])
    assert costs[1] == [4 * costs[0][0], 4 * costs[0][1], costs[0][2]]
    never = decoded(lab, answer="zebra", trials=3)
    assert "right in 0% of its trials: outside 20 to 80 %" in words(decode_sentence(never))
