"""Methods of one text beside each other: their curves, their agreement, and what is shown."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.attribution.test_check import WORTH, Additive
from tokenarium.backend.attribution.agreement import rank_correlation
from tokenarium.backend.attribution.curve import curve_points, deletion_curve
from tokenarium.backend.runs.examples import read
from tokenarium.backend.runs.kind import KINDS
from tokenarium.ui.components.methods import compared_of, methods_sentence, methods_table
from tokenarium.ui.figures.methods import agreement, drop_curves, maps_beside


def test_the_curve_deletes_the_highest_together() -> None:
    assert curve_points(100, 20) == [1, 5, 10, 20, 40]
    assert curve_points(3, 2) == [1, 2, 3]
    game = Additive(WORTH)
    points, falls = deletion_curve(game, game.worth, 3)
    assert points.tolist() == [1, 3, 6]
    assert falls.tolist() == [3.0, 6.0, 6.5]
    _, turned = deletion_curve(game, -game.worth, 3)
    assert turned.tolist() == [0.0, 0.0, 0.0]


def test_ranks_agree_as_by_hand_and_ties_share_theirs() -> None:
    found = rank_correlation(np.array([[1.0, 2, 3, 4], [10, 20, 40, 30], [4, 3, 2, 1]]))
    np.testing.assert_allclose(found, [[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]], atol=1e-12)
    tied = rank_correlation(np.array([[1.0, 2, 2, 4], [1, 2, 3, 4], [5, 5, 5, 5]]))
    assert tied[0, 1] == pytest.approx(4.5 / np.sqrt(4.5 * 5))  # ranks 1, 2.5, 2.5, 4
    assert np.isnan(tied[2]).all()


def test_shipped_methods_stand_beside_each_other() -> None:
    first, second = (read(example) for example in KINDS.find("attribute").examples[:2])
    compared = compared_of([first, second])
    assert list(compared) == ["Occlusion", "Direct logit attribution"]
    maps = maps_beside(compared).data[0]
    assert np.abs(maps.z).max(1) == pytest.approx([1, 1])
    assert np.argmax(maps.z[0]) == np.argmax(first.result.scores)
    one, two, chance = drop_curves(compared).data
    for line, run in ((one, first), (two, second)):
        assert run.result.check_k in line.x
        at = list(line.x).index(run.result.check_k)
        assert line.y[at] == pytest.approx(run.result.check_drop_nats)
    assert chance.x == (first.result.check_k,)
    drawn: Any = agreement(compared)
    scores = np.stack([first.result.scores, second.result.scores])
    np.testing.assert_allclose(drawn.data[0].z, rank_correlation(scores))
    assert agreement({"Occlusion": first.result}) is None
    assert "agree least" in methods_sentence(compared)
    assert f"{second.result.check_drop_nats:.2f}" in methods_table(compared)
    other = SimpleNamespace(request=second.request, result=_moved(second.result))
    assert list(compared_of([first, other])) == ["Occlusion"], "other units are left out"


def _moved(result: Any) -> Any:
    from dataclasses import replace

    return replace(result, units=result.units + 1)
