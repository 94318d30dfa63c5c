"""The smallest budget that holds a line: by hand, withheld where little was tried, and covering."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.benchmark.sweep.by_hand import swept
from tokenarium.backend.benchmark.sweep.choice import OLDER, choose_budget, usual_line

FULL = {1.0: [0.0] * 8}
LOW, HIGH = [0.01] * 8, [0.3] * 8


def test_smallest_budget_is_one_whose_larger_ones_hold_as_well() -> None:
    result = swept(
        {
            "full": FULL,
            "recent": {0.5: LOW, 0.25: HIGH, 0.1: LOW},  # the smallest holds by luck
            "h2o": {0.5: LOW, 0.25: LOW, 0.1: HIGH},
            "token_select": {0.5: HIGH, 0.25: HIGH, 0.1: HIGH},
        }
    )
    full, recent, h2o, select = result.choose("kl", at_most=0.1).budgets
    assert (full.ratio, full.point, full.measured) == (1.0, 0, 1)
    assert (recent.ratio, recent.point, recent.measured) == (0.5, 1, 3)
    assert (h2o.ratio, h2o.point) == (0.25, 5)
    assert h2o.value == pytest.approx(0.01)
    assert (h2o.cache_bytes, h2o.bytes_at, h2o.step_ms) == (250, {8192: 2e3, 32768: 8e3}, 5)
    assert (select.ratio, select.point, select.share) == (None, None, None)
    assert select.value == pytest.approx(0.3)


def test_exercises_that_hold_bound_the_share_of_those_like_them() -> None:
    values = [0.02, 0.05, 0.01, 0.04, 0.03, 0.2, 0.06, 0.07]
    result = swept({"full": FULL, "h2o": {0.5: LOW, 0.25: values}})
    _, chosen = result.choose("kl", at_most=0.1).budgets
    assert (chosen.ratio, chosen.holding, chosen.exercises) == (0.25, 7, 8)
    # P(Bin(8, p) >= 7) = 8 p^7 - 7 p^8 = 0.025, of two budgets.
    p = chosen.share
    assert p is not None
    assert 8 * p**7 - 7 * p**8 == pytest.approx(0.025)
    assert chosen.median == pytest.approx(0.045)
    assert chosen.interval == pytest.approx((0.01, 0.2))  # 2 / 2^8 below 0.025, 18 / 2^8 above
    assert chosen.why == ""


def test_several_depths_are_one_exercise_and_one_line() -> None:
    near, far = [0.0] * 7 + [0.3], [0.1] * 8
    result = swept({"full": {1.0: [0.0] * 16}, "h2o": {0.5: near + far}}, depths=2)
    _, chosen = result.choose("kl", at_most=0.15).budgets
    assert (chosen.exercises, chosen.holding) == (8, 7)  # means over depths of 0.05, and of 0.2
    assert chosen.value == pytest.approx(0.0375 / 2 + 0.05)
    assert chosen.median == pytest.approx(0.05)


@pytest.mark.parametrize(("tried", "said"), [(1, "1 exercise was tried"), (5, "5 exercises were")])
def test_bound_is_withheld_where_little_was_tried(tried: int, said: str) -> None:
    result = swept(
        {"full": {1.0: [0.0] * tried}, "h2o": {r: [0.0] * tried for r in (0.5, 0.2, 0.1)}}
    )
    _, chosen = result.choose("kl", at_most=0.1).budgets
    assert (chosen.ratio, chosen.share, chosen.interval) == (0.1, None, None)
    assert said in chosen.why
    assert "6 or more" in chosen.why


def test_an_older_sweep_says_that_it_lacks_its_exercises() -> None:
    older = dict.fromkeys(("trial_kl_nats", "bytes_at", "bytes_at_tokens", "context"))
    _, chosen = swept({"full": FULL, "h2o": {0.5: LOW}}, **older).choose("kl", at_most=1).budgets
    assert (chosen.ratio, chosen.holding, chosen.share, chosen.why) == (0.5, None, None, OLDER)
    assert chosen.bytes_at == {}


@pytest.mark.parametrize(
    ("measure", "line", "ratio"),
    [
        ("agree", {"at_least": 0.7}, 0.1),
        ("agree", {"at_least": 0.71}, 0.5),
        ("accuracy", {"at_least": 1}, 0.1),
        ("tokens", {"at_least": 0.5}, 0.1),
        ("perplexity", {"at_most": 1.2}, 0.5),
        ("perplexity", {"at_most": 1.4}, 0.1),
    ],
)
def test_every_measure_takes_its_line(measure: str, line: dict[str, float], ratio: float) -> None:
    result = swept({"full": FULL, "h2o": {0.5: LOW, 0.1: HIGH}})
    _, chosen = result.choose(measure, **line).budgets
    assert chosen.ratio == ratio
    assert chosen.holding == 8


def test_accuracy_counts_answers_that_are_wholly_right() -> None:
    tokens = np.asarray([[1.0] * 8, [1.0] * 6 + [0.5] * 2], np.float32)
    result = swept({"full": FULL, "h2o": {0.5: LOW}}, trial_token_accuracy=tokens)
    _, chosen = result.choose("accuracy", at_least=0.5).budgets
    assert chosen.holding == 6
    _, chosen = result.choose("tokens", at_least=0.5).budgets
    assert chosen.holding == 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"measure": "speed"}, "measure='speed' is unknown: choose kl"),
        ({"measure": "kl", "at_least": 0.1}, "takes at_most, not at_least"),
        ({"measure": "kl"}, "takes at_most"),
        ({"measure": "agree", "at_most": 0.1}, "takes at_least"),
        ({"measure": "agree", "at_least": 1.1}, "at_least=1.1 is out of range"),
        ({"measure": "kl", "at_most": -1}, "at_most=-1 is out of range: choose at least 0"),
        ({"measure": "kl", "at_most": float("nan")}, "out of range"),
    ],
)
def test_a_line_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose_budget(swept({"full": FULL}), **given)


def test_usual_line_is_the_strictest_that_some_policy_holds() -> None:
    result = swept({"full": {1.0: [1.0] * 8}, "h2o": {0.5: [1.3] * 8, 0.1: [1.6] * 8}})
    assert usual_line(result, "kl") == 2
    assert usual_line(result, "perplexity") == pytest.approx(1.5 * np.e, abs=0.01)
    assert usual_line(swept({"full": FULL, "h2o": {0.5: LOW}}), "kl") == 0.1
    assert usual_line(swept({"full": FULL}), "agree") == 0.9


def test_attention_recall_is_a_line_that_must_be_reached() -> None:
    result = swept({"full": FULL, "h2o": {0.5: [0.25] * 8, 0.1: [0.5] * 8}})
    own = result.choose("recall", at_least=0.7).budgets[1]
    assert (own.ratio, own.value, own.holding) == (0.5, pytest.approx(0.75), 8)
    assert usual_line(result, "recall") == 0.5
    with pytest.raises(ValueError, match="takes at_least"):
        result.choose("recall", at_most=0.7)


def test_words_are_a_line_a_policy() -> None:
    said = str(swept({"full": FULL, "h2o": {0.5: LOW}, "recent": {0.5: HIGH}}).choose(at_most=0.1))
    assert said.splitlines() == [
        "divergence from the full cache (nats) at most 0.1",
        "Full cache: 1 of the prompt, 0; 8 of 8 exercises hold it, at least 69% of such ones with "
        "95 % confidence",
        "H2O: 0.5 of the prompt, 0.01; 8 of 8 exercises hold it, at least 69% of such ones with "
        "95 % confidence",
        "Recent only: none of 1 budgets, 0.3 at the largest",
    ]


def test_bound_covers_whichever_budget_is_chosen() -> None:
    """Two budgets of which 77 % of all exercises hold the line; the same few choose and bound.

    The larger one passes by its mean nearly always, the smaller one only where all exercises
    happen to hold: without a share of the error for each, the bound would be wrong in 8 %.
    """
    random, tries, wrong, small = np.random.default_rng(3), 3000, 0, 0
    begin = swept({"full": {1.0: [0.0] * 12}, "h2o": {0.5: [0.0] * 12, 0.25: [0.0] * 12}})
    for _ in range(tries):
        draws = (random.random((3, 12)) > 0.77) * np.asarray([[0], [0.11], [10.0]])
        result = replace(begin, trial_kl_nats=draws, kl_nats=draws.mean(1))
        _, chosen = result.choose(at_most=0.1).budgets
        assert chosen.share is not None
        small += chosen.ratio == 0.25
        wrong += chosen.share > 0.77
    assert small > 60
    assert wrong / tries <= 0.05
