"""Best shapes against all shapes there are, and expectations against runs of chance."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tokenarium.backend.speculation.sequoia import best_plan, expected_tokens, optimal_tree, speedup
from tokenarium.backend.speculation.tree import depths

VECTORS = [(0.6, 0.2, 0.1), (0.3, 0.3, 0.3), (0.9,), (0.1, 0.5), (0.5, 0.0, 0.4), (1.0, 0.0)]


def all_shapes(nodes: int) -> Iterator[tuple[int, ...]]:
    """Every list of parents with so many nodes beside the root."""
    shapes: list[tuple[int, ...]] = [(-1,)]
    for node in range(1, nodes + 1):
        shapes = [(*shape, parent) for shape in shapes for parent in range(node)]
    yield from shapes


def simulated(shape: Sequence[int], acceptance: Sequence[float], rounds: int) -> float:
    """Tokens a round where at every node one rank is accepted, or none."""
    random = np.random.default_rng(0)
    families = [[node for node, above in enumerate(shape) if above == one] for one in range(20)]
    edges = np.cumsum(acceptance)
    tokens = 0
    for _ in range(rounds):
        node: int | None = 0
        while node is not None:
            tokens += 1
            rank = int(np.searchsorted(edges, random.random(), side="right"))
            node = families[node][rank] if rank < len(families[node]) else None
    return tokens / rounds


@pytest.mark.parametrize("acceptance", VECTORS)
@pytest.mark.parametrize("budget", [1, 2, 4, 6])
@pytest.mark.parametrize("depth", [1, 2, 6])
def test_no_shape_is_better_than_the_best(
    acceptance: tuple[float, ...], budget: int, depth: int
) -> None:
    best = max(
        expected_tokens(shape, acceptance)
        for shape in all_shapes(budget)
        if max(depths(shape)) <= depth
    )
    shape = optimal_tree(acceptance, budget, depth)
    assert len(shape) <= budget + 1
    assert max(depths(shape)) <= depth
    assert all(parent < node for node, parent in enumerate(shape))
    assert expected_tokens(shape, acceptance) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("acceptance", VECTORS[:4])
def test_expected_tokens_are_those_of_runs(acceptance: tuple[float, ...]) -> None:
    shape = optimal_tree(acceptance, 12, 5)
    assert simulated(shape, acceptance, 30_000) == pytest.approx(
        expected_tokens(shape, acceptance), rel=0.01
    )


def test_expected_tokens_by_hand() -> None:
    assert expected_tokens((-1,), [0.5]) == 1
    assert expected_tokens((-1, 0, 1, 2), [0.5]) == pytest.approx(1 + 0.5 + 0.25 + 0.125)
    shape = (-1, 0, 0, 1, 2)
    assert expected_tokens(shape, [0.6, 0.2]) == pytest.approx(1 + 0.6 + 0.2 + 0.36 + 0.12)
    assert expected_tokens((-1, 0, 0), [0.6]) == pytest.approx(1.6), "no sibling beyond the ranks"


def test_a_chain_is_best_where_only_the_first_sibling_is_accepted() -> None:
    assert optimal_tree([0.9], 4, 10) == (-1, 0, 1, 2, 3)
    assert optimal_tree([0.9], 4, 2) == (-1, 0, 1), "no more nodes than can be used"
    assert optimal_tree([0.3, 0.3, 0.3], 3, 10) == (-1, 0, 0, 0)
    assert optimal_tree([0.5, 0.0], 4, 1) == (-1, 0), "nor more than gain anything"


def test_the_best_plan_weighs_tokens_against_time() -> None:
    acceptance, verify = (0.6, 0.2, 0.1), {0: 10.0, 2: 10.5, 8: 12.0, 32: 30.0}
    plan = best_plan(acceptance, 6, verify, draft_ms=1.0)
    options = {}
    for budget, time in verify.items():
        for depth in range(1, 7) if budget else [0]:
            shape = optimal_tree(acceptance, budget, depth) if budget else (-1,)
            tokens = expected_tokens(shape, acceptance)
            options[(time + max(depths(shape))) / tokens] = tokens
    assert plan.ms_per_token == pytest.approx(min(options))
    assert plan.tokens_per_round == pytest.approx(options[min(options)])
    assert len(plan.shape) == 9
    assert best_plan(acceptance, 6, verify, draft_ms=100.0).shape == (-1,), "state never pays"
    with pytest.raises(ValueError, match=r"verify_ms=\{\} names no budget"):
        best_plan(acceptance, 6, {}, 1.0)


@pytest.mark.parametrize(
    ("acceptance", "message"),
    [
        ((), "must be chances from 0 to 1"),
        ((0.5, -0.1), "must be chances"),
        ((0.7, 0.7), "add up to at most 1"),
        ((float("nan"),), "must be chances"),
    ],
)
def test_what_are_no_chances_is_refused(acceptance: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimal_tree(acceptance, 4, 4)
    with pytest.raises(ValueError, match=message):
        expected_tokens((-1, 0), acceptance)


@pytest.mark.parametrize("sizes", [{"budget": 0, "depth": 3}, {"budget": 3, "depth": 0}])
def test_a_tree_needs_room(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="=0 is below 1: raise it to at least 1"):
        optimal_tree([0.5], **sizes)


def test_speedup_is_the_formula_and_its_limits() -> None:
    for acceptance in (0.0, 0.3, 0.8, 0.999):
        for length in (0, 1, 5):
            for ratio in (0.0, 0.1, 0.5):
                expected = (1 - acceptance ** (length + 1)) / (
                    (1 - acceptance) * (length * ratio + 1)
                )
                assert speedup(acceptance, length, ratio) == pytest.approx(expected)
    assert speedup(1, 4, 0.25) == pytest.approx(5 / 2)
    assert speedup(0.5, 0, 3) == 1, "no draft, no difference"
    assert speedup(0.8, 4, 0) == pytest.approx(expected_tokens((-1, 0, 1, 2, 3), [0.8])), (
        "tokens a round, where state is free"
    )
    for acceptance in (0.1, 0.5, 0.9):  # one guess pays from the ratio on that equals acceptance
        assert speedup(acceptance, 1, acceptance) == pytest.approx(1)
    for arguments in ((1.1, 4, 0.1), (-0.1, 4, 0.1), (0.5, -1, 0.1), (0.5, 4, -0.1)):
        with pytest.raises(ValueError, match=r"acceptance=|may be below 0"):
            speedup(*arguments)
