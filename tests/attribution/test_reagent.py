"""ReAGent's credits by hand, and when a probe stops."""

from typing import Any

import numpy as np
import torch

from tests.attribution.conftest import OTHER, game_of, random_ids
from tokenarium.backend.attribution.methods.reagent import ReAgent


class _OneMatters:
    """Unit 3 holds the target's probability up; without it, it falls from .8 to .1."""

    def __init__(self, rank: int) -> None:
        self.units, self.seed, self.whole, self.rank = (None,) * 12, 0, float(np.log(0.8)), rank
        self.target = type("Target", (), {"against": None})()

    def prepare_replacements(self, count: int) -> None:
        self.prepared = count

    def replaced(self, kept: Any, draws: Any) -> Any:
        assert len(kept) == len(draws)
        self.kept = kept
        return np.log(np.where(kept[:, 3], 0.8, 0.1))

    def ranks(self, kept: Any, draws: Any) -> Any:
        assert (kept.sum(1) == 2).all()
        return np.where(kept[:, 3], self.rank, 9)


def test_the_unit_that_matters_takes_the_credit_and_probes_stop() -> None:
    found = ReAgent(steps=100, probes=2, keep=2).attribute(_OneMatters(2))  # type: ignore[arg-type]
    assert found.scores.argmax() == 3
    assert found.scores.sum() == 1
    assert found.notes[0].startswith("2 of 2 probes converged")
    never = ReAgent(steps=100, probes=2, keep=2).attribute(_OneMatters(3))  # type: ignore[arg-type]
    assert never.notes[0].startswith("0 of 2 probes converged")


def test_probes_that_keep_their_random_starts_are_said_to() -> None:
    matters = ReAgent(steps=100, probes=4, keep=2).attribute(_OneMatters(3))  # type: ignore[arg-type]
    assert "0.3 by chance" in matters.notes[1]
    assert "do not rely" not in matters.notes[1]
    nothing = _OneMatters(3)
    nothing.replaced = lambda kept, draws: np.full(len(kept), nothing.whole)  # type: ignore[method-assign]
    found = ReAgent(steps=20, probes=4, keep=2).attribute(nothing)  # type: ignore[arg-type]
    assert "do not rely on them" in found.notes[1]


def test_credits_are_the_log_odds_of_half_the_fall() -> None:
    game: Any = _OneMatters(0)
    found = ReAgent(ratio=0.25)._credits(game, np.random.default_rng(0), range(20))
    assert (~game.kept).sum(1).tolist() == [3] * 20
    d = np.where(game.kept[:, 3], 0, 0.7)
    odds = np.log((d / 2 + 0.5) / (1 - (d / 2 + 0.5)))[:, None]
    np.testing.assert_allclose(found, np.where(game.kept, -odds, odds), atol=1e-12)


def test_each_set_is_replaced_by_its_own_draw_and_ranked(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(12)
    game, kept = game_of(loaded, ids), np.random.default_rng(2).random((3, 12)) < 0.5
    with torch.no_grad():
        game.prepare_replacements(4)
        found, ranks = game.replaced(kept, [0, 3, 1]), game.ranks(kept, [0, 3, 1])
        alone = [game.values(kept[n : n + 1], "replace", d)[0] for n, d in enumerate((0, 3, 1))]
        drawn = game_of(loaded, ids)._replacement(3)
        text = np.where(kept[1], ids, drawn).tolist()
        logits = oracle(input_ids=torch.tensor([text])).logits[0, -1]
        contrast = game_of(loaded, ids, against=OTHER).ranks(kept, [0, 3, 1])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert ranks[1] == int((logits > logits[game.target.token]).sum())
    assert (contrast[1] == 0) == bool(logits[OTHER] <= logits[game.target.token])
