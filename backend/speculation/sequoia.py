"""The best shape of a tree for how often each sibling is accepted, and what drafting can save."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.speculation.tree import depths

NodeCost = Mapping[int, float]
"""By number of nodes beside the root, the time of a pass of the target that verifies so many."""


@dataclass(frozen=True)
class Plan:
    """A shape and what it is expected to give."""

    shape: tuple[int, ...]
    """[N] parents by node, the root's -1 first, siblings in draw order."""
    tokens_per_round: float
    """Expected new tokens of a round: accepted ones and the one that follows them."""
    ms_per_token: float
    """Expected time of a round by its tokens."""


def optimal_tree(acceptance: Sequence[float], budget: int, depth: int) -> tuple[int, ...]:
    """Return the shape with most expected tokens a round, by dynamic programming.

    A node's rank among its siblings is all that its chance to be accepted is taken to depend on.

    Paper: Chen et al., 2024, arXiv:2402.12374.

    Args:
        acceptance: [k] chance that the sibling of each rank is the one accepted, given that its
            parent is; at most k siblings are used.
        budget: nodes beside the root; fewer are used where ``acceptance`` and ``depth`` allow no
            more, or more would gain nothing.
        depth: deepest that a node may stand.
    Returns: [N] parents by node, the root's -1 first, siblings in draw order.
    Raises:
        ValueError: if chances are no probabilities or add up to more than 1, or there is no room.
    """
    chances = _checked(acceptance)
    _refuse_below_one(budget=budget, depth=depth)

    return _shape(_table(chances, budget, depth), budget, depth)


def expected_tokens(shape: Sequence[int], acceptance: Sequence[float]) -> float:
    """Return the expected new tokens of a round: 1 and the chance of every node to be accepted.

    Args:
        shape: [N] parents by node, the root's -1 first, siblings in draw order.
        acceptance: [k] as in ``optimal_tree``; siblings of a rank beyond are never accepted.
    Raises:
        ValueError: if chances are no probabilities or add up to more than 1.
    """
    chances = _checked(acceptance)
    reached, ranks = [1.0], [0] * len(shape)
    for parent in shape[1:]:
        rank = ranks[parent]
        ranks[parent] += 1
        reached.append(reached[parent] * chances[rank] if rank < len(chances) else 0.0)
    return sum(reached)


def best_plan(
    acceptance: Sequence[float], depth: int, verify_ms: NodeCost, draft_ms: float
) -> Plan:
    """Return the shape that takes least time a token, over all budgets whose cost is known.

    Args:
        acceptance: [k] as in ``optimal_tree``.
        depth: deepest that a node may stand.
        verify_ms: by number of nodes beside the root; 0 stands for autoregressive decoding.
        draft_ms: of a pass of the draft, which reads one level.
    Raises:
        ValueError: if no cost is given, or chances or the depth are refused.
    """
    if not verify_ms:
        raise ValueError("verify_ms={} names no budget: measure the cost of at least one")
    _refuse_below_one(depth=depth)
    table = _table(_checked(acceptance), max(verify_ms), depth)
    plans = []
    for budget, verify in verify_ms.items():
        for levels in range(1, depth + 1) if budget else [0]:
            shape = _shape(table, budget, levels)
            tokens = expected_tokens(shape, acceptance)
            time = verify + draft_ms * max(depths(shape))
            plans.append(Plan(shape, tokens, time / tokens))
    return min(plans, key=lambda plan: plan.ms_per_token)


def speedup(acceptance: float, draft_len: int, cost_ratio: float) -> float:
    """Return how many times faster than autoregressive decoding a drafted chain is expected to be.

    It pays where this is above 1. A pass that verifies is taken to cost what one of a single token
    does, and drafted tokens to be accepted independently.

    Paper: Leviathan et al., 2022, arXiv:2211.17192 (theorem 3.8).

    Args:
        acceptance: a, probability that a drafted token is accepted.
        draft_len: g, drafted tokens a round.
        cost_ratio: c, time of a pass of the draft by that of the target.
    Returns: (1 - a^(g + 1)) / ((1 - a) (g c + 1)), and (g + 1) / (g c + 1) where a is 1.
    Raises:
        ValueError: if an argument is out of its range.
    """
    _checked([acceptance])
    if draft_len < 0 or cost_ratio < 0:
        raise ValueError(
            f"draft_len={draft_len}, cost_ratio={cost_ratio}: neither may be below 0; give what "
            "was measured"
        )
    tokens = sum(acceptance**power for power in range(draft_len + 1))
    return tokens / (draft_len * cost_ratio + 1)


def _table(
    chances: Sequence[float], budget: int, depth: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return most tokens of siblings [depth + 1, k + 1, budget + 1], and nodes for their first.

    By the depth they may still take, the rank of the first of them, and the nodes they may have.
    """
    tokens = np.zeros((depth + 1, len(chances) + 1, budget + 1))
    first = np.zeros(tokens.shape, np.int64)
    for deep in range(1, depth + 1):
        for rank in reversed(range(len(chances))):
            for nodes in range(1, budget + 1):
                below = tokens[deep - 1, 0, :nodes]
                gains = chances[rank] * (1 + below) + tokens[deep, rank + 1, nodes - 1 :: -1]
                best = int(gains.argmax())
                tokens[deep, rank, nodes] = gains[best]
                first[deep, rank, nodes] = best + 1 if gains[best] > 0 else 0
    return tokens, first


def _shape(
    table: tuple[NDArray[np.float64], NDArray[np.int64]], budget: int, depth: int
) -> tuple[int, ...]:
    """Return the shape that a table gives to so many nodes, level by level."""
    first = table[1]
    shape, waiting = [-1], deque([(0, budget, depth)])  # node, nodes and depth below it
    while waiting:
        node, nodes, deep = waiting.popleft()
        rank = 0
        while (own := int(first[deep, rank, nodes])) > 0:
            waiting.append((len(shape), own - 1, deep - 1))
            shape.append(node)
            nodes, rank = nodes - own, rank + 1
    return tuple(shape)


def _checked(acceptance: Sequence[float]) -> tuple[float, ...]:
    chances = tuple(float(chance) for chance in acceptance)
    if not chances or any(not 0 <= chance <= 1 for chance in chances) or sum(chances) > 1 + 1e-9:
        raise ValueError(
            f"acceptance={chances} must be chances from 0 to 1 that add up to at most 1: give for "
            "every rank among siblings how often that one is accepted"
        )
    return chances


def _refuse_below_one(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size} is below 1: raise it to at least 1")
