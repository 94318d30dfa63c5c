"""The shape of a tree before it has tokens: the parent of every node, by rank among siblings."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator


def depths(shape: Sequence[int]) -> list[int]:
    """Return the depth of every node [N] of a shape, the root's 0 first."""
    found: list[int] = []
    for parent in shape:
        found.append(found[parent] + 1 if parent >= 0 else 0)
    return found


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    for node, parent in enumerate(shape):
        if not (parent == -1 if node == 0 else 0 <= parent < node):
            allowed = "-1, the root" if node == 0 else f"0 to {node - 1}"
            raise ValueError(
                f"shape={shape} gives node {node} the parent {parent}: allowed is {allowed}; list "
                "parents before children"
            )
    return shape


Shape = Annotated[tuple[int, ...], AfterValidator(_checked)]
"""Parents [N] by node, the root's -1 first, siblings in draw order; empty where none is given."""


def branching_shape(branching: Sequence[int], depth: int, budget: int) -> list[int]:
    """Return the shape where each node of a level has equally many children, level by level.

    Args:
        branching: children of the nodes of depth 0, 1, ...; the last number holds for all deeper.
        depth: deepest that a node may stand.
        budget: most nodes beside the root; the last level is cut to it.
    """
    shape, level = [-1], [0]
    for children in list(branching)[:depth] + [branching[-1]] * (depth - len(branching)):
        parents = [node for node in level for _ in range(children)][: budget + 1 - len(shape)]
        level = list(range(len(shape), len(shape) + len(parents)))
        shape += parents
    return shape


def cut_to_depth(shape: Sequence[int], depth: int) -> list[int]:
    """Return a shape without the nodes that stand deeper than ``depth``."""
    kept: dict[int, int] = {-1: -1}
    for node, deep in enumerate(depths(shape)):
        if deep <= depth:
            kept[node] = len(kept) - 1
    return [kept[shape[node]] for node in kept if node >= 0]


def refuse_unless_fits(shape: Sequence[int], draft_len: int, tree_budget: int) -> None:
    """Check that a run leaves room for a shape.

    Raises:
        ValueError: if it has more nodes than ``tree_budget``, or deeper ones than ``draft_len``.
    """
    deepest = max(depths(shape), default=0)
    if len(shape) - 1 > tree_budget:
        raise ValueError(
            f"tree_budget={tree_budget} is below the {len(shape) - 1} nodes of shape={shape}: "
            f"raise tree_budget to at least {len(shape) - 1}"
        )
    if deepest > draft_len:
        raise ValueError(
            f"draft_len={draft_len} is below the depth {deepest} of shape={shape}: raise draft_len "
            f"to at least {deepest}"
        )
