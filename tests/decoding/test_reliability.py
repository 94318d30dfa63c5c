"""Right as often as sure: bins by hand, a calibrated and an overconfident model, and a real run."""

import re
from html import unescape

import numpy as np
import pytest

from tests.labs import shipped_lab
from tests.ui.test_sentence import words
from tokenarium.backend import DecodeRequest, DecodeResult, Lab, Run, StrategySpec
from tokenarium.backend.decoding.answer import first_line
from tokenarium.backend.decoding.reliability import LEAST_TRIALS, TRIAL, Reliability
from tokenarium.ui.components.decode_card import decode_sentence
from tokenarium.ui.figures.decoding import scatter
from tokenarium.ui.why.explain import explained

ASKED = {
    "model": "bundled/draft",
    "text": "Once upon a time there was a little",
    "strategies": [StrategySpec("sampling"), StrategySpec("sampling", temperature=0.3), "greedy"],
    "max_new_tokens": 3,
    "answer": "girl",
    "trials": 24,
}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return shipped_lab()


@pytest.fixture(scope="module")
def run(lab: Lab) -> Run:
    return lab.run(DecodeRequest.model_validate(ASKED))


def result_of(run: Run) -> DecodeResult:
    assert isinstance(run.result, DecodeResult)
    return run.result


def rows(sure: list[float], right: list[int], tokens: int = 2) -> np.ndarray:
    """Return rows of trials whose confidence a token is as given."""
    return np.array(
        [(0, tokens, tokens * np.log(p), good) for p, good in zip(sure, right, strict=True)], TRIAL
    )


def test_bins_and_their_error_are_those_by_hand() -> None:
    sure = [0.9] * 8 + [0.2] * 8
    right = [1] * 6 + [0] * 8 + [1] * 2
    found = Reliability.of(rows(sure, right))
    assert found is not None
    low, high = found.bins
    assert (low.trials, low.right, high.right) == (8, 0.25, 0.75)
    assert low.confidence == pytest.approx(0.2)
    assert high.confidence == pytest.approx(0.9)
    assert found.error == pytest.approx((8 * 0.05 + 8 * 0.15) / 16)
    assert found.mean_confidence == pytest.approx(0.55)
    assert found.share_right == 0.5
    assert low.low < 0.25 < low.high


def test_a_calibrated_model_is_told_from_one_that_is_too_sure() -> None:
    draw = np.random.default_rng(3)
    above = 0
    for _ in range(20):  # 2.5 % of calibrated ones are above
        sure = draw.uniform(0.3, 0.9, 64)
        fair = Reliability.of(rows(sure.tolist(), (draw.random(64) < sure).tolist()))
        assert fair is not None
        above += fair.error > fair.null.high
    assert above <= 3
    sure = draw.uniform(0.3, 0.9, 400)
    boastful = Reliability.of(rows((sure**0.3).tolist(), (draw.random(400) < sure).tolist()))
    assert boastful is not None
    assert boastful.error > boastful.null.high
    true = float((sure**0.3 - sure).mean())  # at no confidence right as often as sure
    assert boastful.interval[0] < true < boastful.interval[1]
    assert boastful.interval[0] < boastful.error < boastful.interval[1]


def test_too_few_trials_and_mixtures_of_embeddings_say_nothing() -> None:
    assert Reliability.of(rows([0.5] * (LEAST_TRIALS - 1), [1] * (LEAST_TRIALS - 1))) is None
    soft = rows([0.5] * LEAST_TRIALS, [1] * LEAST_TRIALS)
    soft["log_prob"][3] = np.nan
    assert Reliability.of(soft) is None


@pytest.mark.parametrize(
    "text", ["ab", "a\nb", "\n\na b\nc\n", "\n", "  \n x", "abc\n", "", "\nabcdefgh\nx\ny"]
)
def test_the_first_line_is_that_of_a_plain_count(text: str) -> None:
    ids = [ord(one) for one in text]
    count = 0
    for count in range(1, len(ids) + 1):
        if "\n" in text[:count].lstrip():
            break
    assert first_line(ids, lambda some: "".join(map(chr, some))) == count


def test_rows_are_the_trials_of_the_next_seeds(lab: Lab, run: Run) -> None:
    result = result_of(run)
    assert result.trial_rows is not None
    assert [len(lane.trial_rows) for lane in result.lanes if lane.trial_rows is not None] == [
        24,
        24,
        1,
    ]
    for lane in result.lanes[:2]:
        assert lane.trial_rows is not None
        assert lane.trial_rows["right"].sum() == lane.trials_right
    for trial in (0, 7):
        alone = lab.run(DecodeRequest.model_validate({**ASKED, "trials": 1, "seed": trial})).result
        assert isinstance(alone, DecodeResult)
        for number in (0, 1):
            lane, shown = alone.lanes[number], result.lanes[number].trial_rows
            assert shown is not None
            count = int(shown["tokens"][trial])
            assert "\n" not in "".join(lane.token_text[: count - 1]).lstrip()
            assert count == 3 or "\n" in "".join(lane.token_text[:count]).lstrip()
            summed = np.log(lane.tokens["probability"][:count].astype(np.float64)).sum()
            assert shown["log_prob"][trial] == pytest.approx(summed, rel=1e-5)
            assert bool(shown["right"][trial]) is lane.right


def test_what_follows_the_first_line_does_not_count(lab: Lab) -> None:
    text = "One day, Lily went home.\n"
    asked = DecodeRequest(model="bundled/draft", text=text, answer="x", max_new_tokens=8)
    result = lab.run(asked).result
    assert isinstance(result, DecodeResult)
    [lane] = result.lanes
    assert lane.trial_rows is not None
    [(_, count, log_prob, _)] = lane.trial_rows.tolist()
    assert 0 < count < 8
    written = "".join(lane.token_text[:count]).lstrip()
    assert "\n" in written
    assert "\n" not in "".join(lane.token_text[: count - 1]).lstrip()
    summed = np.log(lane.tokens["probability"][:count].astype(np.float64)).sum()
    assert log_prob == pytest.approx(summed, rel=1e-5)


def test_the_page_draws_it_and_every_number_opens(lab: Lab, run: Run) -> None:
    result = result_of(run)
    html = decode_sentence(result)
    assert "In <button" in html
    assert html.count("expected calibration error") == 2
    own = re.findall(r'<button data-why="(trial_[^"]*)">([^<]*)</button>', html)
    assert len(own) == 2 * 7
    for written, text in own:
        told = explained(lab, run.id, unescape(written))
        assert float(text.split()[0]) == pytest.approx(float(told["value"]), abs=0.00501)
    figure = scatter(result)
    assert figure is not None
    drawn = [trace for trace in figure.data if trace.error_y.array is not None]
    for trace, lane in zip(drawn, result.lanes[:2], strict=True):
        assert lane.reliability is not None
        assert [*trace.y] == [one.right for one in lane.reliability.bins]
        assert [*trace.x] == [one.confidence for one in lane.reliability.bins]
        assert trace.yaxis == "y2"
    few = lab.run(DecodeRequest.model_validate({**ASKED, "trials": 3})).result
    assert isinstance(few, DecodeResult)
    assert "3 trials of a prompt are too few" in words(decode_sentence(few))
    plain = scatter(few)
    assert plain is not None
    assert "yaxis2" not in plain.layout.to_plotly_json()
