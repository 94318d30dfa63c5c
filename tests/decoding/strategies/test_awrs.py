"""Adaptive weighted rejection sampling: weights by enumeration, texts by their exact share."""

from collections import Counter
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table
from tokenarium.backend.decoding.allowed import Allowed, Vocabulary
from tokenarium.backend.decoding.constraints.regex import RegularExpression
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.strategies.awrs import Awrs, weighed
from tokenarium.backend.decoding.strategies.masked import Masked
from tokenarium.backend.decoding.strategy import Strategy

V, END = 5, 4
SPELLED = {key: bytes([97 + key]) for key in range(V - 1)}


def under(strategy: Strategy, pattern: str, table: torch.Tensor, most: int, seed: int) -> Lane:
    reader = TableReader(table)
    lane = lane_of(strategy, reader, most=most, end=END, seed=seed)
    lane.allowed = Allowed(RegularExpression(pattern=pattern), Vocabulary(SPELLED, {END}, V))
    strategy.decode(lane)
    return lane


@pytest.mark.parametrize("seed", range(20))
def test_weights_are_unbiased_to_the_last_digit(seed: int) -> None:
    draw = np.random.default_rng(seed)
    probs = draw.dirichlet(np.full(V, 0.5))
    accepted = draw.random(V) < 0.5
    total, each = 0.0, np.zeros(V)
    for order in permutations(range(V)):
        chance = 1.0
        for place, token in enumerate(order):
            chance *= probs[token] / probs[list(order[place:])].sum()
        made = weighed(probs.__getitem__, order, accepted.__getitem__)
        total += chance * made.weight
        if made.token >= 0:
            assert accepted[made.token]
            each[made.token] += chance * made.weight
        assert all(not accepted[token] for token in made.refused)
    np.testing.assert_allclose(each, probs * accepted, atol=1e-12)
    assert total == pytest.approx((probs * accepted).sum(), abs=1e-12)


def exact(table: torch.Tensor, pattern: str, most: int) -> dict[str, float]:
    """Return the model's own share of every text that keeps a pattern, and their sum as ''."""
    rows = torch.softmax(table.double(), -1).numpy()
    form, found = RegularExpression(pattern=pattern), {}
    for ids in product(range(V), repeat=most):
        cut = [*ids[: ids.index(END)], END] if END in ids else [*ids]
        text = "".join(chr(97 + key) for key in cut if key != END)
        ended = END in cut
        if not (form.complete(text) if ended else form.viable(text)):
            continue
        path = [0, 1, *cut]
        found[text + "." * ended] = float(
            np.prod([rows[path[i - 2], path[i - 1], path[i]] for i in range(2, len(path))])
        )
    total = sum(found.values())
    return {text: share / total for text, share in found.items()} | {"": total}


# "a" leads nearly to a dead end: only a rare "b" goes on after it.
DEAD_END = torch.tensor([0.55, 0.02, 0.3, 0.1, 0.03]).log().expand(V, V, V)
PATTERN = "(ab|cc)d?"


def test_many_particles_write_texts_by_their_share_and_a_mask_does_not() -> None:
    shares = exact(DEAD_END, PATTERN, 2)
    assert shares["cc"] == pytest.approx(0.09 / (0.09 + 0.011))
    runs, masses = 25, []
    right: Counter[str] = Counter()
    for seed in range(runs):
        for strategy in (Awrs(particles=8), Masked()):
            lane = under(strategy, PATTERN, DEAD_END, 2, seed)
            right[strategy.slug] += lane.new == [2, 2]
            if strategy.slug == "awrs":
                masses.append(np.exp(lane.journal.rows[-1 - len(lane.new)][5]))
    assert right["awrs"] >= 19  # 22 are expected, 3 of 100,000 times fewer than 15
    assert right["masked"] <= 15  # 9 are expected
    error = np.std(masses) / np.sqrt(runs)
    assert np.mean(masses) == pytest.approx(shares[""], abs=3 * error)
    assert error < 0.2 * shares[""]


@pytest.mark.parametrize("strategy", [Awrs(), Masked(), Masked(temperature=0), Awrs(top_p=0.9)])
def test_every_text_keeps_the_constraint(strategy: Strategy) -> None:
    form = RegularExpression(pattern="(a|bc)*d")
    for seed in range(4):
        lane = under(strategy, form.pattern, random_table(V, seed, 1.0), 6, seed)
        text = "".join(chr(97 + key) for key in lane.new if key != END)
        assert form.complete(text) if lane.ended == "end" else form.viable(text)
        assert not any(
            form.viable(text[: row[0]] + chr(97 + row[3]))
            for row in lane.journal.rows
            if row[7] == 9 and row[3] != END and row[1] == 0
        )


def test_a_masks_score_is_the_mass_that_it_left() -> None:
    lane = under(Masked(), "(ab|cc)d?", DEAD_END, 2, 0)
    first = 0.55 + 0.3
    second = 0.02 if lane.new[0] == 0 else 0.3
    scores = [row[5] for row in lane.journal.rows]
    assert scores == pytest.approx([np.log(first), np.log(first * second)], rel=1e-4)


def test_a_dead_end_stops() -> None:
    for strategy in (Masked(), Awrs()):
        lane = under(strategy, "a[xy]", DEAD_END, 4, 1)
        assert lane.ended == "stop"
        assert lane.new in ([], [0])


@pytest.mark.parametrize("count", [3, 64, 65, 400])
def test_tokens_come_in_the_order_of_a_draw_without_replacement(count: int) -> None:
    draw = np.random.default_rng(count)
    probs = draw.dirichlet(np.full(count, 0.2)) * (draw.random(count) > 0.2)
    first = int(probs.argmax())
    lane, now = (SimpleNamespace(random=np.random.default_rng(1)),
                 SimpleNamespace(final=torch.tensor(probs)))  # fmt: skip
    found = [*Awrs()._order(lane, now, first)]  # type: ignore[arg-type]
    times = np.random.default_rng(1).exponential(size=count)
    wanted = sorted(
        set(np.flatnonzero(probs).tolist()) - {first}, key=lambda key: times[key] / probs[key]
    )
    assert found == [first, *wanted]
