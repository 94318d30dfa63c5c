"""The contrast with a lame prompt by hand, from two tables' rows."""

import torch

from tests.decoding.table import TableReader, lane_of, random_table, small_table, written
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategies.uscd import Uscd

V = 8


def by_hand(table: torch.Tensor, most: int) -> tuple[list[int], int]:
    """The lame prompt is token 2 alone; after it and the new tokens the other table speaks."""
    new: list[int] = []
    other, contrasted = small_table(table), 0
    for _ in range(most):
        text, lame = [0, 1, *new], [2, *new]
        p = torch.softmax(table[text[-2], text[-1]].double(), -1)
        q = torch.softmax(other[lame[-2] if len(lame) > 1 else 0, lame[-1]].double(), -1)
        if float(((p - p.mean()) ** 2).mean().sqrt()) <= 0.45 / V**0.5:
            contrasted += 1
            score = (p - 0.7 * q).where(p >= p.mean() / 3, torch.zeros(())).clamp_min(0)
            p = score if float(score.sum()) else p
        new.append(int(p.argmax()))
    return new, contrasted


def test_unsure_steps_are_contrasted() -> None:
    counts, others = [], 0
    for seed in range(4):
        table = random_table(V, seed, 1.0)
        lane = written(Uscd(lame="c", sure=0.45), table, most=16)
        wanted, contrasted = by_hand(table, 16)
        assert lane.new == wanted
        assert [row[8] >= 0 for row in lane.journal.rows].count(True) == contrasted
        counts.append(contrasted)
        others += wanted != written(Greedy(), table, most=16).new
    assert any(0 < count < 16 for count in counts)
    assert others >= 2


def test_a_lame_prompt_like_the_prompt_leaves_the_likeliest() -> None:
    probs = torch.softmax(torch.randn(V), -1)
    made = Uscd(least=0).contrast(probs, probs)
    torch.testing.assert_close(made, 0.3 * probs)


def test_where_nothing_is_left_the_model_speaks() -> None:
    probs = torch.tensor([0.5, 0.3, 0.1, 0.1])
    assert Uscd(weight=-2).contrast(probs, probs).equal(probs)


def test_without_a_lame_prompt_the_last_line_is_read() -> None:
    lane = lane_of(Uscd(), TableReader(random_table(V)), [0, 1, 4, 2, 3])
    lane.spell = lambda ids: "".join("\n" if key == 4 else "x" for key in ids)
    assert Uscd().lame_ids(lane) == [2, 3]
    lane.spell = lambda ids: "x" * len(ids)
    assert Uscd().lame_ids(lane) == [0, 1, 4, 2, 3]


def test_tokens_below_a_share_of_the_mean_are_left_out() -> None:
    probs, lame = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.7, 0.3, 0.0, 0.0])
    wanted = torch.tensor([0.01, 0.09, 0.0, 0.0])  # the mean is .25
    torch.testing.assert_close(Uscd(least=1).contrast(probs, lame), wanted)
