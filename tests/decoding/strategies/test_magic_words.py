"""Magic words on the table model, where every control prompt can be enumerated."""

from itertools import pairwise, product

import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, written
from tokenarium.backend.decoding.strategies.magic_words import MagicWords

V = 6
PROMPT = (0, 1)


def log_prob(table: torch.Tensor, words: tuple[int, ...], wanted: tuple[int, ...]) -> float:
    """Return ln p of wanted tokens after the prompt and words, by the table."""
    text = [*PROMPT, *words]
    total = 0.0
    for token in wanted:
        total += float(torch.log_softmax(table[text[-2], text[-1]], -1)[token])
        text.append(token)
    return total


def greedy(table: torch.Tensor, words: tuple[int, ...], count: int) -> tuple[int, ...]:
    text = [*PROMPT, *words]
    for _ in range(count):
        text.append(int(table[text[-2], text[-1]].argmax()))
    return tuple(text[-count:])


def name(tokens: tuple[int, ...]) -> str:
    return "".join(chr(97 + token) for token in tokens)


@pytest.mark.parametrize("chain", [None, "only one after another"])
@pytest.mark.parametrize("wanted", [(3,), (2, 4)])
def test_candidates_are_scored_as_the_table_does(
    wanted: tuple[int, ...], chain: str | None
) -> None:
    table = random_table(V, 7)
    lane = lane_of(MagicWords(), TableReader(table, chain), PROMPT)
    candidates = [(), *product(range(V), repeat=1), *product(range(V), repeat=2)]
    found = MagicWords().evaluated(lane, candidates, wanted)
    for words in candidates:
        value, reached = found[words]
        assert value == pytest.approx(log_prob(table, words, wanted), abs=1e-5)
        assert reached is (greedy(table, words, len(wanted)) == wanted)
    assert lane.new == []


@pytest.mark.parametrize("seed", range(8))
def test_one_word_of_the_whole_vocabulary_is_the_best_there_is(seed: int) -> None:
    table = random_table(V, seed)
    wanted = (int(table[0, 1].argsort(descending=True)[3]),)
    lane = written(MagicWords(words=1, rank=4, pool=V, iterations=0), table, prompt=PROMPT, most=5)
    best = max(range(V), key=lambda word: log_prob(table, (word,), wanted))
    assert lane.new[0] == best
    assert tuple(lane.new[1:]) == greedy(table, (best,), 4)
    [drawing] = lane.drawings
    assert drawing.series[0].y[-1] == pytest.approx(log_prob(table, (best,), wanted), abs=1e-5)
    [said] = [text for text in lane.journal.reasons if "was rank 4" in text]
    assert ("not reached" in said) is (greedy(table, (best,), 1) != wanted)


def test_words_are_put_to_the_left_and_the_search_ends_once_reached() -> None:
    ended_early = grew = 0
    for seed in range(12):
        table = random_table(V, seed)
        wanted = (int(table[0, 1].argsort(descending=True)[5]),)
        strategy = MagicWords(words=2, rank=6, pool=V, iterations=0)
        lane = written(strategy, table, prompt=PROMPT, most=6)
        first = max(range(V), key=lambda word: log_prob(table, (word,), wanted))
        if greedy(table, (first,), 1) == wanted:
            assert lane.new[:2] == [first, *wanted]
            ended_early += 1
            continue
        second = max(range(V), key=lambda word: log_prob(table, (word, first), wanted))
        assert lane.new[:2] == [second, first]
        grew += 1
    assert ended_early
    assert grew


def test_swaps_end_where_no_single_swap_is_better() -> None:
    improved = 0
    for seed in range(8):
        table = random_table(V, seed)
        table[:, :, 5] -= 20  # said nowhere, so that the search goes on
        strategy = MagicWords(wanted="f", words=2, pool=2, swaps=64, iterations=0)
        grown = written(strategy, table, prompt=PROMPT, most=6).drawings[0].series[0].y
        lane = lane_of(strategy, TableReader(table), PROMPT, most=6, seed=seed)
        best, value = (0, 1), log_prob(table, (0, 1), (5,))
        for _ in range(4):
            swapped = MagicWords(pool=V, swaps=64)._swapped(lane, best, [5])
            assert best in swapped
            assert all(sum(a != b for a, b in zip(one, best, strict=True)) < 2 for one in swapped)
            scores = {one: log_prob(table, one, (5,)) for one in swapped}
            best = max(scores, key=scores.__getitem__)
            assert scores[best] >= value
            improved += scores[best] > value
            value = scores[best]
        around = {(one, best[1]) for one in range(V)} | {(best[0], one) for one in range(V)}
        assert value == max(log_prob(table, one, (5,)) for one in around)
        longer = MagicWords(wanted="f", words=2, pool=2, swaps=64, iterations=3)
        curve = written(longer, table, prompt=PROMPT, most=6, seed=seed).drawings[0].series[0].y
        assert list(curve[:3]) == list(grown)
        assert len(curve) == 1 + 2 + 3
        assert all(late >= early for early, late in pairwise(curve[2:]))
    assert improved >= 8


def test_the_gradient_is_that_of_the_table_by_differences() -> None:
    table = random_table(V, 3).double()
    lane = lane_of(MagicWords(), TableReader(table.float()), PROMPT)
    value, slope = lane.stepper.slope([2, 4], [5, 1])
    assert value == pytest.approx(log_prob(table, (2, 4), (5, 1)), abs=1e-5)
    step, eye = 1e-3, torch.eye(V)
    for place, token in product(range(2), range(V)):
        sides = []
        for sign in (1, -1):
            moved = eye[[2, 4]].clone()
            moved[place, token] += sign * step
            sides.append(lane.stepper.slope([2, 4], [5, 1], moved)[0])
        assert float(slope[place, token]) == pytest.approx(
            (sides[0] - sides[1]) / (2 * step), abs=5e-3
        )
    assert lane.stepper.counters.passes == 1 + 4 * V


def test_pools_hold_the_tokens_of_the_largest_gradient() -> None:
    table = random_table(V, 3)
    lane = lane_of(MagicWords(), TableReader(table), PROMPT)
    _, slope = lane.stepper.slope([2, 4], [5])
    pools = MagicWords(pool=2)._pools(lane, (2, 4), [5])
    assert pools == slope.topk(2, -1).indices.tolist()
    assert MagicWords(pool=V)._pools(lane, (2, 4), [5]) == [[*range(V)]] * 2


def test_what_is_wanted_may_be_named() -> None:
    table = random_table(V, 4)
    lane = lane_of(MagicWords(), TableReader(table), PROMPT)
    assert MagicWords(wanted=name((2, 5)))._wanted(lane) == [2, 5]
    assert MagicWords(rank=V)._wanted(lane) == [int(table[0, 1].argmin())]
