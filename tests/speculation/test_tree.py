"""Shapes of trees: branching, cutting, what a run has room for."""

import pytest
from pydantic import TypeAdapter

from tokenarium.backend.speculation.tree import (
    Shape,
    branching_shape,
    cut_to_depth,
    depths,
    refuse_unless_fits,
)


def test_depths_count_edges_from_the_root() -> None:
    assert depths((-1, 0, 0, 1, 3, 2)) == [0, 1, 1, 2, 3, 2]
    assert depths(()) == []


@pytest.mark.parametrize(
    ("branching", "depth", "budget", "shape"),
    [
        ((2, 1), 3, 100, [-1, 0, 0, 1, 2, 3, 4]),
        ((3, 2), 2, 100, [-1, 0, 0, 0, 1, 1, 2, 2, 3, 3]),
        ((3, 2), 2, 5, [-1, 0, 0, 0, 1, 1]),
        ((4, 3, 2), 1, 100, [-1, 0, 0, 0, 0]),
        ((2,), 5, 1, [-1, 0]),
        ((2, 2), 0, 9, [-1]),
    ],
)
def test_a_branching_is_cut_to_depth_and_budget(
    branching: tuple[int, ...], depth: int, budget: int, shape: list[int]
) -> None:
    assert branching_shape(branching, depth, budget) == shape


def test_cutting_leaves_out_what_is_deeper_and_counts_anew() -> None:
    shape = (-1, 0, 1, 2, 0, 4, 5)
    assert cut_to_depth(shape, 3) == list(shape)
    assert cut_to_depth(shape, 2) == [-1, 0, 1, 0, 3]
    assert cut_to_depth(shape, 1) == [-1, 0, 0]
    assert cut_to_depth((), 3) == []


def test_a_shape_without_room_is_refused_with_the_room_it_needs() -> None:
    refuse_unless_fits((-1, 0, 1), 2, 2)
    refuse_unless_fits((), 1, 1)
    with pytest.raises(ValueError, match=r"tree_budget=1 is below the 2 nodes .* at least 2"):
        refuse_unless_fits((-1, 0, 1), 2, 1)
    with pytest.raises(ValueError, match=r"draft_len=1 is below the depth 2 .* at least 2"):
        refuse_unless_fits((-1, 0, 1), 1, 2)


@pytest.mark.parametrize("shape", [(0,), (-1, 1), (-1, 0, -1), (-1, 0, 2)])
def test_parents_come_before_children_under_one_root(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="list parents before children"):
        TypeAdapter(Shape).validate_python(shape)
    assert TypeAdapter(Shape).validate_python([-1, 0, 0]) == (-1, 0, 0)
