"""What strategies build on, measured: by hand and by independent twins on the table model."""

from collections import Counter
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.decoding.table import (
    TableReader,
    lane_of,
    layer_logits,
    random_table,
    small_table,
    written,
)
from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.layers_agree import layers_agree
from tokenarium.backend.decoding.premise import Premise, doubt_is_rare, known_before
from tokenarium.backend.decoding.settled import rewards, settled
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.hapo_temperature import HapoTemperature, standing
from tokenarium.backend.decoding.strategies.key_space import KeySpace
from tokenarium.backend.decoding.strategies.layer_contrast import LayerContrast
from tokenarium.backend.decoding.strategies.quadrants import Quadrants
from tokenarium.backend.decoding.strategies.r2r import R2R
from tokenarium.backend.decoding.strategies.refusal_token import RefusalToken
from tokenarium.backend.decoding.strategies.soft_thinking import SoftThinking
from tokenarium.backend.decoding.strategies.swireasoning import SwiReasoning
from tokenarium.backend.decoding.strategies.uscd import Uscd
from tokenarium.backend.decoding.strategy import Strategy

V = 8
PROMPT = (0, 1)


def plain_of(table: torch.Tensor, most: int = 14) -> Calibration:
    """Return how unsure the table is along greedy decoding, by the lane's own records."""
    lane = written(Greedy(), table, most=most, prompt=PROMPT)
    return Calibration(
        np.array([made.entropy_nats for made in lane.records], np.float32),
        np.array([made.varentropy_nats2 for made in lane.records], np.float32),
        np.array([-made.log_prob for made in lane.records], np.float32),
        tuple(made.token for made in lane.records),
    )


def measured(strategy: Strategy, table: torch.Tensor, **more: object) -> tuple[Premise, Lane]:
    lane = lane_of(
        strategy, TableReader(table), PROMPT, most=14, calibration=plain_of(table), **more
    )  # type: ignore[arg-type]
    premise = strategy.premise(lane)
    assert premise is not None
    assert premise.claim == strategy.builds_on
    return premise, lane


def entropy_of(probs: torch.Tensor) -> float:
    return float(-(probs * probs.clamp_min(1e-30).log()).sum())


@pytest.mark.parametrize(
    ("value", "below", "holds"),
    [(1.0, True, True), (2.1, True, False), (2.1, False, True), (1.0, False, False),
     (2.0, True, True), (2.0, False, True), (float("nan"), True, None)],
)  # fmt: skip
def test_a_premise_holds_on_its_side_of_the_bound(
    value: float, below: bool, holds: bool | None
) -> None:
    premise = Premise("it is so", "so much", value, 2.0, below)
    assert premise.holds is holds
    words = {True: "holds", False: "does not hold", None: "was not measured"}
    assert premise.verdict == words[holds]


def test_steps_beyond_a_threshold_are_counted() -> None:
    values = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    rare = doubt_is_rare("few", values, 3.0, "entropy")
    assert rare.value == pytest.approx(0.3)  # 3.5, 4 and 4.5
    assert rare.holds is True
    assert "at 3 of 10 steps" in rare.measured
    assert rare.drawing is not None
    assert list(rare.drawing.series[0].y) == values
    often = doubt_is_rare("few", values, 3.0, "spread", "", above=False)
    assert often.value == pytest.approx(0.7)
    assert often.holds is False
    assert doubt_is_rare("few", values[:7], 3.0, "entropy").holds is None
    assert doubt_is_rare("few", values, float("inf"), "entropy").holds is None


def test_mixtures_one_after_another_are_those_of_the_table() -> None:
    table = random_table(V, 3, 4.0)
    premise, lane = measured(SoftThinking(tokens=V, least=0.0), table)
    weights = [torch.eye(V)[0], torch.eye(V)[1]]
    after = []
    for _ in range(13):
        logits = torch.einsum("a,b,abv->v", *weights[-2:], table)
        weights.append(logits.softmax(-1))
        after.append(entropy_of(torch.einsum("a,b,abv->v", *weights[-2:], table).softmax(-1)))
    plain = lane.calibration.entropy_nats[1:14]
    assert premise.drawing is not None
    np.testing.assert_allclose(premise.drawing.series[1].y, after, atol=1e-5)
    np.testing.assert_allclose(premise.drawing.series[0].y, plain)
    assert premise.value == pytest.approx(np.mean(after) / np.mean(plain), rel=1e-5)
    assert premise.value > 1.5  # a mean of random rows is nearly flat
    assert premise.holds is False
    few, _ = measured(SoftThinking(tokens=1), table)
    assert "0 of 13 steps more than one token" in few.measured
    assert few.holds is None


def test_latent_steps_are_measured_with_their_own_mixtures() -> None:
    table = random_table(V, 3, 4.0)
    all_of_it, _ = measured(SwiReasoning(tokens=V), table)
    two, _ = measured(SwiReasoning(tokens=2), table)
    assert two.value < all_of_it.value


def test_a_small_model_is_counted_along_plain_decoding() -> None:
    table = random_table(V, 4)
    small = small_table(table)
    premise, lane = measured(R2R(), table)
    text = [*PROMPT, *lane.calibration.tokens]
    same = [
        int(small[text[place - 2], text[place - 1]].argmax()) == text[place]
        for place in range(2, len(text))
    ]
    assert 0 < sum(same) < len(same)
    assert premise.value == pytest.approx(np.mean(same))
    assert premise.holds is (sum(same) / len(same) >= 0.5)
    assert lane.small_spent[0] == 1
    itself, _ = measured(R2R(), table, small=table)
    assert itself.value == 1
    assert itself.holds


def test_earlier_layers_are_compared_with_the_last() -> None:
    table = random_table(V, 6)
    layers = [1, 2, 3]
    lane = lane_of(
        LayerContrast(), TableReader(table), PROMPT, most=14, calibration=plain_of(table)
    )
    premise = layers_agree("layers agree", lane, lambda _: layers, True)
    text = [*PROMPT, *lane.calibration.tokens]
    rows = [table[text[place - 1], text[place]] for place in range(2, len(text) - 1)]
    last = [int(row.argmax()) for row in rows]
    shares = [
        np.mean([int(layer_logits(row)[layer - 1].argmax()) == top
                 for row, top in zip(rows, last, strict=True)])
        for layer in layers
    ]  # fmt: skip
    assert min(shares) < max(shares)
    assert premise.value == pytest.approx(max(shares))
    guessed = Counter(last).most_common(1)[0][1]
    assert premise.bound == pytest.approx((guessed + 1) / len(rows))
    assert premise.drawing is not None
    assert list(premise.drawing.series[0].x) == layers


def test_a_lame_prompt_is_asked_at_the_flat_steps() -> None:
    table = random_table(V, 1)
    premise, lane = measured(Uscd(sure=0.6), table)
    text = [*PROMPT, *lane.calibration.tokens]
    spreads = np.array([
        np.std(table[text[place - 2], text[place - 1]].softmax(-1).numpy())
        for place in range(2, len(text))
    ])  # fmt: skip
    asked = spreads <= 0.6 / np.sqrt(V)
    assert 0 < asked.sum() < len(asked)
    assert premise.value == pytest.approx(asked.mean())


def test_rows_of_middle_ranks_are_compared_with_random_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 40
    table = random_table(size, 2)
    monkeypatch.setattr(TableReader, "vocabulary_keys", lambda _: torch.eye(size))
    flat, _ = measured(KeySpace(), table)
    assert flat.drawing is not None
    np.testing.assert_allclose(flat.drawing.series[0].y, 0)
    assert flat.holds is False

    # Logits are products with the likeliest token's row: what is alike ranks high.
    keys = torch.nn.functional.normalize(random_table(size, 9)[:, :6, 0], dim=-1)
    monkeypatch.setattr(TableReader, "vocabulary_keys", lambda _: keys)
    alike = (keys @ keys.T)[None].expand(size, size, size) * 5
    alike = alike + 0.01 * random_table(size, 1)
    found, _ = measured(KeySpace(), alike.roll(1, 1))
    assert found.value > 0.1
    assert found.holds


def test_openers_are_within_reach_of_the_push() -> None:
    table = random_table(V, 5)
    probs = table[0, 1].softmax(-1)
    opener = int(probs.argsort(descending=True)[3])
    gap = log(float(probs.max())) - log(float(probs[opener]))
    for push, holds in ((gap + 0.1, True), (gap - 0.1, False)):
        premise, lane = measured(RefusalToken(openers=chr(97 + opener), push=push), table)
        assert premise.value == pytest.approx(gap, rel=1e-4)
        assert premise.holds is holds
        assert lane.spent_in_all == (0, 0)
    mass = float(probs[opener])
    for threshold, holds in ((0.9 * mass, True), (1.1 * mass, False)):
        strategy = RefusalToken(openers=chr(97 + opener), threshold=threshold)
        premise, _ = measured(strategy, table)
        assert premise.value == pytest.approx(mass, rel=1e-4)
        assert premise.holds is holds
    unknown, _ = measured(RefusalToken(openers="€"), table)
    assert unknown.holds is None


def test_warmer_steps_and_corners_are_counted() -> None:
    table = random_table(V, 0)
    known = plain_of(table, 40)
    lane = lane_of(HapoTemperature(), TableReader(table), PROMPT, most=40, calibration=known)
    warm = HapoTemperature(pivot=0.5).premise(lane)
    logs = np.log(known.entropy_nats.astype(float)).tolist()
    above = [standing(logs[step], logs[:step], 0.5) > 0 for step in range(8, 40)]
    assert warm.value == pytest.approx(np.mean(above))
    corners = Quadrants(low_nats=0.8, high_nats=1.2, low_nats2=0.5, high_nats2=0.9)
    found = corners.premise(lane)
    entropy, varentropy = known.entropy_nats, known.varentropy_nats2
    there = [
        ((entropy < 0.8) if low else (entropy > 1.2)) & ((varentropy < 0.5) if even else
                                                         (varentropy > 0.9))
        for low in (True, False) for even in (True, False)
    ]  # fmt: skip
    assert found.value == sum(bool(one.any()) for one in there)
    assert found.holds is (found.value == 4)


@pytest.mark.parametrize(
    ("answers", "first", "holds"),
    [("aaaaaa", 0, True), ("abbbbb", 1, True), ("ababaa", 4, True), ("aaaaab", 5, False)],
)
def test_an_answer_settles_where_it_no_longer_changes(
    answers: str, first: int, holds: bool
) -> None:
    table = random_table(V, 0)
    lane = lane_of(Greedy(), TableReader(table), PROMPT, most=40, calibration=plain_of(table, 30))
    lane.right = lambda ids: ids == [ord("b")]
    said = iter(answers)
    cuts: list[int] = []

    def ask() -> list[int]:
        cuts.append(lane.step)
        return [ord(next(said))]

    premise = settled("it settles", lane, ask, 4)
    assert cuts == [0, 5, 11, 17, 23, 29]
    assert premise.value == pytest.approx(first / 5)
    assert premise.holds is holds
    assert premise.drawing is not None
    _, right, reward = premise.drawing.series
    assert list(right.y) == [float(one == "b") for one in answers]
    assert list(reward.y) == rewards([one == "b" for one in answers])
    assert settled("it settles", lane, ask, 0).holds is None


def test_the_first_right_exit_earns_most() -> None:
    assert rewards([False, True, False, True, True]) == [0, 1, 0, 0.5, 0.25]


def test_the_newest_run_that_measured_it_is_named() -> None:
    def run(premise: Premise | None) -> SimpleNamespace:
        return SimpleNamespace(lanes=[SimpleNamespace(strategy="cntp", premise=premise)])

    old, new = (Premise("c", f"{value} found", value, 2.0) for value in (1.0, 3.0))
    short = Premise("c", "too short")
    said = known_before([run(None), run(short), run(new), run(old)], "cntp")  # type: ignore[list-item]
    assert said == "its premise does not hold in an earlier run: 3.0 found"
    assert "is measured first" in known_before([run(new)], "adadec")  # type: ignore[list-item]
