"""An edit of what is read, on the table model, where a mixture of tokens is a mixture of rows."""

from itertools import pairwise
from math import log2

import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, written
from tokenarium.backend.decoding.strategies.activation_attack import ActivationAttack, rungs

V = 8
PROMPT = (0, 1)


def rows_after(table: torch.Tensor, read: torch.Tensor, targets: list[int]) -> torch.Tensor:
    """Return the logits [t, V] before each target, after the prompt and what is read [a, V]."""
    eye = torch.eye(V)
    weights = [eye[1], *read, *(eye[token] for token in targets)]
    pairs = list(pairwise(weights))[len(read) - 1 :][: len(targets)]
    return torch.stack([torch.einsum("a,b,abv->v", *pair, table) for pair in pairs])


def log_prob(table: torch.Tensor, read: torch.Tensor, targets: list[int]) -> torch.Tensor:
    rows = torch.log_softmax(rows_after(table, read, targets), -1)
    return rows[torch.arange(len(targets)), torch.tensor(targets)].sum()


@pytest.mark.parametrize(
    ("positions", "targets", "ends"), [(1, [5, 2, 7], False), (2, [5, 2, 7], False), (1, [7], True)]
)
def test_the_search_is_adam_on_the_loss(positions: int, targets: list[int], ends: bool) -> None:
    """It ends with the first step after which the targets are likelier than not."""
    table, tokens = random_table(V, 3), [4, 6][:positions]
    clean = torch.eye(V)[tokens]
    strategy = ActivationAttack(positions=positions, steps=25, rate=0.1)
    lane = lane_of(strategy, TableReader(table), PROMPT, most=12)
    edit, curve = strategy._search(lane, tokens, clean, clean * 0, targets)

    twin = torch.zeros(positions, V, requires_grad=True)
    adam, values = torch.optim.Adam([twin], lr=0.1), []
    for _ in range(25):
        value = log_prob(table, clean + twin, targets)
        values.append(float(value.detach()))
        if values[-1] > -0.6931472:
            break
        adam.zero_grad()
        (-value).backward()
        adam.step()
    torch.testing.assert_close(torch.tensor(curve), torch.tensor(values), atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(edit, twin.detach(), atol=2e-3, rtol=1e-3)
    assert values[0] == pytest.approx(float(log_prob(table, clean, targets)), abs=1e-5)
    assert values[-1] > values[0] + 1
    assert (1 < len(curve) < 25) is ends


def test_each_number_of_targets_goes_on_from_the_edit_before() -> None:
    table, strategy = random_table(V, 0), ActivationAttack(targets=2, steps=60, wanted="fb")
    lane = written(strategy, table, prompt=PROMPT, most=12)
    one, two = lane.drawings[0].series
    again = lane_of(strategy, TableReader(table), PROMPT, most=12)
    token = [*again.calibration.tokens[:1], again.now.best][0]
    clean = torch.eye(V)[[token]]
    edit, curve = strategy._search(again, [token], clean, clean * 0, [5])
    assert list(one.y) == pytest.approx(curve)
    assert float(edit.abs().max()) > 0.1
    assert two.y[0] == pytest.approx(float(log_prob(table, clean + edit, [5, 1])) / 2, abs=1e-4)


def test_what_is_written_freely_is_counted_up_to_the_first_miss() -> None:
    table, strategy = random_table(V, 3), ActivationAttack()
    lane = lane_of(strategy, TableReader(table), PROMPT, most=12)
    read = torch.rand(1, V, generator=torch.Generator().manual_seed(4))
    text: list[int] = []
    for _ in range(4):
        text.append(int(rows_after(table, read, [*text, 0])[-1].argmax()))
    for wrong in range(4):
        asked = [*text]
        asked[wrong] = (asked[wrong] + 1) % V
        assert strategy.reproduced(lane, read, asked) == wrong
        assert lane.stepper.ids == list(PROMPT)
    assert strategy.reproduced(lane, read, text) == 4
    assert strategy.reproduced(lane, read, text[:1]) == 1
    assert lane.stepper.ids == list(PROMPT)


def test_the_largest_edit_that_is_obeyed_stays() -> None:
    obeyed = refused = 0
    for seed in range(6):
        table = random_table(V, seed)
        strategy = ActivationAttack(targets=6, steps=60, rate=0.1)
        lane = written(strategy, table, prompt=PROMPT, most=12, seed=seed)
        steps, reached = lane.drawings
        asked, said = reached.series[0].x, reached.series[0].y
        solved = max((int(a) for a, b in zip(asked, said, strict=True) if a == b), default=0)
        [words] = [one for one in lane.journal.reasons if "targets are written" in one]
        assert words.startswith(f"{solved} of 6 targets are written freely after 1 positions")
        assert lane.new[0] == -1
        assert all(later >= 0 for later in lane.new[1:])
        wanted = strategy._wanted(
            lane_of(strategy, TableReader(table), PROMPT, most=12, seed=seed), 11
        )
        assert lane.new[1 : 1 + solved] == wanted[:solved]
        assert len(steps.series) == len(asked)
        assert list(asked) == list(rungs(6))[: len(asked)]
        if solved:
            kappa, chi = solved / 1, 1 * V * 16 / (solved * log2(V))
            more = "at least " if solved == 6 else ""
            assert words.endswith(f"kappa is {more}{kappa:.3g}, chi {chi:.4g}")
            obeyed += 1
        refused += solved < 6
    assert obeyed
    assert refused  # eight numbers do not hold six tokens of three bits each


def test_targets_may_be_named_and_grow_by_doubling() -> None:
    assert list(rungs(6)) == [1, 2, 4, 6]
    assert list(rungs(1)) == [1]
    assert list(rungs(8)) == [1, 2, 4, 8]
    strategy = ActivationAttack(wanted="fbc", targets=2)
    lane = lane_of(strategy, TableReader(random_table(V, 0)), PROMPT, most=12)
    assert strategy._wanted(lane, 11) == [5, 1]
    drawn = ActivationAttack(targets=8)._wanted(lane, 3)
    assert len(drawn) == 3
