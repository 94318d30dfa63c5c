"""Two runs paired head by head, and refused where they cannot be."""

import dataclasses

import numpy as np
import pytest

from tests.ui.hand_made import HEADS, LAYERS, numbered, trace, unfinished
from tokenarium.backend.analysis.compare import compare, token_difference


def parked(length: int, *heads: tuple[int, int]) -> np.ndarray:
    mass = np.full((LAYERS, HEADS, length), 0.1, np.float32)
    for place in heads:
        mass[place] = 0.8
    return mass


def test_heads_switch_where_one_score_alone_is_above_the_threshold() -> None:
    mass = parked(9, (0, 0), (1, 2))
    first = trace(9, first_mass=mass, sink_score=mass.mean(-1))
    second = trace(30, first_mass=parked(30, (1, 2), (1, 3)))
    found = compare(first, second)
    assert np.argwhere(found.switched).tolist() == [[0, 0], [1, 3]]
    assert not compare(first, second, threshold=0.9).switched.any()


def test_scores_are_means_of_the_same_number_of_queries() -> None:
    first, second = trace(9), trace(30)
    found = compare(first, second, length=20)
    assert found.length == 9
    assert found.second["sink"] == pytest.approx(second.first_mass[:, :, :9].mean(-1))
    assert compare(first, second, length=4).length == 4


def test_difference_is_the_second_less_the_first() -> None:
    first = trace(9)
    second = trace(9, self_mass=numbered(LAYERS, HEADS) * 3)
    found = compare(first, second)
    assert found.difference("self") == pytest.approx(second.self_mass - first.self_mass)
    assert found.difference("previous") == pytest.approx(np.zeros((LAYERS, HEADS)))


def test_models_of_other_shapes_are_refused_in_words() -> None:
    wide = trace(9, sink_score=np.zeros((3, 5), np.float32))
    with pytest.raises(ValueError, match="2 layers of 4 heads, the second 3 of 5: heads can be"):
        compare(trace(9), wide)


def test_an_unfinished_run_has_no_switching_heads() -> None:
    assert not compare(unfinished(9), trace(9, first_mass=parked(9, (0, 0)))).switched.any()


def test_token_difference_needs_the_same_tokens() -> None:
    first = trace(5)
    second = dataclasses.replace(first, surprisal_nats=first.surprisal_nats * 3)
    assert token_difference(first, second)[1:] == pytest.approx(2 * first.surprisal_nats[1:])
    with pytest.raises(ValueError, match=r"different tokens \(5 and 6\)"):
        token_difference(first, trace(6))
