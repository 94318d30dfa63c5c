"""Every measure against numbers made by hand, and its null against what is known."""

import math

import numpy as np
import pytest
import torch

from tests.judging.conftest import passage_of, rows_of
from tokenarium.backend.judging.counting import sum_distribution, sum_null, wilson
from tokenarium.backend.judging.detection import auroc, auroc_bound, least_total_variation
from tokenarium.backend.judging.judgement import Judgement
from tokenarium.backend.judging.lowest import lowest_mean
from tokenarium.backend.judging.measures.calibration import CalibrationError
from tokenarium.backend.judging.measures.lastde import Lastde
from tokenarium.backend.judging.measures.lp_reg import LpReg
from tokenarium.backend.judging.measures.min_k import MinK
from tokenarium.backend.judging.measures.min_k_plus import MinKPlus
from tokenarium.backend.judging.measures.repetition import Repetition
from tokenarium.backend.judging.measures.window_entropy import WindowEntropy
from tokenarium.backend.judging.repeats import longest_before, seen_before

EVEN = [0.25, 0.25, 0.25, 0.25]


def test_min_k_is_the_mean_of_the_lowest_share() -> None:
    probs = [[0.5, 0.5, 0], [0.9, 0.05, 0.05], [0.2, 0.2, 0.6], [0.98, 0.01, 0.01], [0.1, 0.1, 0.8]]
    found = MinK(share=0.4).judge(passage_of(probs, [0, 0, 1, 2, 1, 2], draws=9))
    assert found.score == pytest.approx((math.log(0.05) + math.log(0.01)) / 2)
    assert found.marked.tolist() == [False, True, False, True, False]
    assert found.token_score == pytest.approx(-np.log([0.5, 0.05, 0.6, 0.01, 0.8]))


def test_min_k_counts_one_token_at_least() -> None:
    assert lowest_mean(np.array([3.0, 1.0, 2.0]), 0.01) == 1
    assert lowest_mean(np.array([3.0, 1.0, 2.0]), 1.0) == 2


def test_the_null_of_min_k_is_what_the_model_would_draw() -> None:
    # Of an even distribution every draw is as likely: the null has one value, the text the same.
    found = MinK().judge(passage_of([EVEN] * 20, [0] * 21, draws=50))
    known = (found.score, found.null.low, found.null.high)
    assert known == pytest.approx((math.log(0.25),) * 3)
    assert found.null.at_least == 1
    # A text of tokens that the model holds for rare lies below all that it draws.
    law = [[0.97, 0.01, 0.01, 0.01]] * 60
    found = MinK(share=1).judge(passage_of(law, [1] * 61, draws=50))
    assert found.score < found.null.low
    assert found.null.at_least == 1
    assert MinK(share=1).judge(passage_of(law, [0] * 61, draws=50)).null.at_least < 0.25


def test_min_k_plus_standardises_by_the_whole_distribution() -> None:
    law = [0.7, 0.2, 0.1]
    mean = sum(p * math.log(p) for p in law)
    spread = math.sqrt(sum(p * (math.log(p) - mean) ** 2 for p in law))
    found = MinKPlus(share=1).judge(passage_of([law, law], [0, 1, 0], draws=3))
    wanted = [(math.log(0.2) - mean) / spread, (math.log(0.7) - mean) / spread]
    assert found.score == pytest.approx(np.mean(wanted))
    assert found.token_score == pytest.approx([-wanted[0], -wanted[1]])


def test_min_k_plus_of_drawn_tokens_has_mean_0_and_variance_1() -> None:
    law = np.random.default_rng(1).dirichlet(np.ones(5), 40)
    passage = passage_of(law, [0] * 41, draws=2000)
    drawn = (passage.entropy + passage.drawn_log_probs) / np.sqrt(passage.varentropy)
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.var() == pytest.approx(1, abs=0.04)


def test_lastde_by_hand_at_one_scale() -> None:
    # Windows of 2 of [1, 2, 13, 7]: cosines of (1, 2)(2, 13) and (2, 13)(13, 7), in 40 bins.
    first = (1 * 2 + 2 * 13) / math.sqrt(5 * 173)
    second = (2 * 13 + 13 * 7) / math.sqrt(173 * 218)
    assert int((first + 1) / 2 * 40) != int((second + 1) / 2 * 40)
    series = np.array([1.0, 2.0, 13.0, 7.0])
    found = Lastde(window=2)._diversity(series, 1, 40)
    assert found == pytest.approx(math.log(2) / math.log(40))


def test_lastde_divides_by_the_deviation_over_scales() -> None:
    series = np.random.default_rng(3).normal(-3, 2, 60)
    lastde = Lastde()
    bins = 600
    wanted = np.std([lastde._diversity(series, scale, bins) for scale in range(1, 6)], ddof=1)
    assert lastde.deviation(series) == pytest.approx(wanted)
    assert lastde.score(series) == pytest.approx(series.mean() / wanted)


def test_lastde_equals_the_published_order_of_operations() -> None:
    """Running means, their windows, cosines, histogram and entropy, as torch does them."""
    series = torch.tensor(np.random.default_rng(5).normal(-2, 1, 50))
    entropies = []
    for scale in range(1, 6):
        means = series.unfold(0, scale, 1).mean(-1)
        windows = means.unfold(0, 3, 1)
        cosine = torch.nn.functional.cosine_similarity(windows[:-1], windows[1:], dim=-1)
        share = torch.histc(cosine.float(), bins=500, min=-1, max=1)
        share = share[share > 0] / share.sum()
        entropies.append(float(-(share * share.log()).sum() / math.log(500)))
    wanted = float(series.mean()) / np.std(entropies, ddof=1)
    assert Lastde().score(series.numpy()) == pytest.approx(wanted, rel=1e-5)


def test_lastde_says_what_is_too_short_or_constant() -> None:
    found = Lastde().judge(passage_of([EVEN] * 6, [0] * 7, draws=2))
    assert math.isnan(found.score)
    assert "6 tokens are too few" in found.notes[0]
    assert math.isnan(Lastde().judge(passage_of([EVEN] * 40, [0] * 41, draws=2)).score)


def test_window_entropy_looks_forward() -> None:
    sure, even = [1.0, 0, 0, 0], EVEN
    found = WindowEntropy(window=2, top=0.5).judge(
        passage_of([even, sure, sure, even, even], [0] * 6)
    )
    nats = math.log(4)
    assert found.token_score[:4] == pytest.approx([nats / 2, 0, nats / 2, nats])
    assert math.isnan(found.token_score[4])
    assert found.marked.tolist() == [False, False, False, True, False] or found.marked[3]
    assert WindowEntropy(window=1).judge(passage_of([even, sure], [0] * 3)).token_score == (
        pytest.approx([nats, 0])
    )


def test_doubt_in_bursts_is_above_chance_and_alternating_doubt_below() -> None:
    sure, even = [1.0, 0, 0, 0], EVEN
    bursts = ([even] * 16 + [sure] * 16) * 4
    found = WindowEntropy().judge(passage_of(bursts, [0] * 129))
    assert found.score > 4
    assert found.null.at_least < 0.02
    assert found.null.mean == pytest.approx(1, abs=0.15)
    found = WindowEntropy().judge(passage_of([even, sure] * 64, [0] * 129))
    assert found.score == pytest.approx(0, abs=1e-9)
    assert found.null.at_least == 1


def test_lp_reg_by_hand() -> None:
    # max p .88; kappa .02 keeps p >= .0176. Token 1 (.04) is unlikely and kept, 2 (.01) noise.
    law = [0.88, 0.04, 0.01, 0.07]
    ids = [0, 1, 2, 0]
    passage = passage_of([law] * 3, ids, **rows_of(LpReg(), [law] * 3, ids))
    found = LpReg().judge(passage)
    assert found.marked.tolist() == [True, False, False]
    assert found.token_score[:2] == pytest.approx([0.04 / 0.88, 0.01 / 0.88])
    assert math.isnan(found.token_score[2])
    assert found.score == pytest.approx(1 / 3)
    assert found.details["unlikely"] == pytest.approx(2 / 3)
    assert found.details["kept_of_unlikely"] == pytest.approx(1 / 2)
    assert found.details["kl_nats"] == pytest.approx(-math.log(0.99), rel=1e-5)
    assert found.null.mean == pytest.approx(0.04, rel=1e-5)


def test_lp_reg_without_a_filter_keeps_all_and_changes_nothing() -> None:
    law = [0.9, 0.04, 0.01, 0.05]
    measure = LpReg(kappa=0)
    passage = passage_of([law] * 3, [0, 1, 2, 0], **rows_of(measure, [law] * 3, [0, 1, 2, 0]))
    found = measure.judge(passage)
    assert found.details["kept_of_unlikely"] == 1
    assert found.details["kl_nats"] == pytest.approx(0, abs=1e-6)


def test_a_sum_of_draws_is_exact() -> None:
    chances = np.array([0.1, 0.5, 0.9, 0.3])
    wanted = np.zeros(5)
    for outcome in np.ndindex(2, 2, 2, 2):
        taken = np.array(outcome)
        wanted[taken.sum()] += np.prod(np.where(taken, chances, 1 - chances))
    assert sum_distribution(chances) == pytest.approx(wanted, abs=1e-15)
    null = sum_null(chances, 3)
    assert null.at_least == pytest.approx(wanted[3:].sum())
    assert null.mean == pytest.approx(chances.mean())


def test_wilson_of_no_hits_is_wide() -> None:
    low, high = wilson(0, 16)
    assert low == 0
    assert high == pytest.approx(0.194, abs=1e-3)


def test_runs_that_came_before() -> None:
    assert longest_before(np.array([1, 2, 3, 1, 2, 3])).tolist() == [0, 0, 0, 1, 2, 3]
    assert longest_before(np.array([7, 7, 7])).tolist() == [0, 1, 2]
    ids = np.array([1, 2, 3, 1, 2, 4, 1, 2, 3])
    places = np.arange(1, 9)
    found = seen_before(ids, places, ids[places][None], 3)[0]
    assert found.tolist() == [False] * 7 + [True]
    # Another token in its place: only what followed the same two before counts.
    drawn = np.array([[0] * 7 + [4], [0] * 7 + [5]])
    assert seen_before(ids, places, drawn, 3)[:, -1].tolist() == [True, False]


def test_repetition_by_hand() -> None:
    ids = [0, *([1, 2, 3, 0] * 8)]
    found = Repetition(n=2, window=8).judge(passage_of([EVEN] * 32, ids, draws=40))
    # From token 5 on every pair has stood before: 1 2, 2 3, 3 0, and 0 1 of tokens 0 and 1.
    assert found.score == pytest.approx(28 / 32)
    assert found.details["type_token_ratio"] == pytest.approx(4 / 8)
    assert found.details["distinct_1"] == pytest.approx(4 / 32)
    assert found.details["distinct_n"] == pytest.approx(4 / 31)
    # One continuation of four is known at each of those places.
    assert found.null.mean == pytest.approx(28 / 32 / 4, abs=0.05)
    assert found.null.at_least < 0.03


def test_auroc_is_the_chance_to_rank_right() -> None:
    draw = np.random.default_rng(0)
    high, low = draw.integers(0, 5, 40), draw.integers(0, 5, 30)
    wanted = np.mean([(a > b) + (a == b) / 2 for a in high for b in low])
    assert auroc(high, low) == pytest.approx(wanted)
    assert auroc([1, 2], [-1, 0]) == 1
    assert math.isnan(auroc([], [1]))


def test_no_detector_beats_the_bound() -> None:
    draw = np.random.default_rng(7)
    for _ in range(200):
        machine, human = draw.dirichlet(np.ones(6) * 0.5, 2)
        apart = np.abs(machine - human).sum() / 2
        ratio = machine / human
        wins = ratio[:, None] > ratio[None]
        ties = ratio[:, None] == ratio[None]
        area = float(((wins + ties / 2) * machine[:, None] * human[None]).sum())
        assert area <= auroc_bound(apart) + 1e-12
        assert least_total_variation(area) <= apart + 1e-12
    assert auroc_bound(0) == 0.5
    assert auroc_bound(1) == 1
    assert least_total_variation(auroc_bound(0.3)) == pytest.approx(0.3)


def test_windows_of_text_are_told_from_draws() -> None:
    law = [[0.97, 0.01, 0.01, 0.01]] * 160
    found = MinK(share=1).judge(passage_of(law, [1] * 161, draws=30))
    assert found.details["auroc"] == 0
    assert found.details["least_total_variation"] == 1
    short = MinK().judge(passage_of(law[:100], [1] * 101, draws=3))
    assert math.isnan(short.details["auroc"])


def calibrated_of(probs: list[list[float]], ids: list[int]) -> Judgement:
    measure = CalibrationError()
    return measure.judge(passage_of(probs, ids, **rows_of(measure, probs, ids)))


def test_calibration_by_hand() -> None:
    """Ten tokens, two a bin: sure of .6 (half right), and of .9 (right but once)."""
    law = [[0.6, 0.4, 0], [0.9, 0.1, 0]]
    probs = [law[0]] * 4 + [law[1]] * 6
    said = [0, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    found = calibrated_of(probs, [0, *said])
    assert found.score == pytest.approx((0.2 + 0.2 + 0.2 + 0.2 + 0.8) / 10)
    wanted = [0.6 - 1, 0.6, 0.6, 0.6 - 1, 0.9 - 1, -0.1, -0.1, -0.1, 0.9, -0.1]
    assert found.token_score == pytest.approx(wanted)
    shares = [found.details[f"bin_{number}_right"] for number in range(1, 6)]
    assert shares == [0.5, 0.5, 1.0, 1.0, 0.5]
    assert (found.details["bin_5_low"], found.details["bin_5_high"]) == wilson(1, 2)


def test_a_calibrated_model_lies_within_its_null_and_a_boaster_does_not() -> None:
    draw = np.random.default_rng(2)
    law = [[p, 1 - p] for p in draw.uniform(0.5, 1, 300)]
    fair = [int(draw.random() > p) for p, _ in law]
    boast = [int(draw.random() > 0.5) for _ in law]
    calibrated, boaster = (calibrated_of(law, [0, *ids]) for ids in (fair, boast))
    assert calibrated.score <= calibrated.null.high
    assert boaster.score > boaster.null.high
    assert boaster.details["confidence"] > boaster.details["right"] + 0.15
