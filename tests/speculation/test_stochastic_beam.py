"""The stochastic beam against every tree that it may draw, enumerated as a race of clocks."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.speculation.test_enumeration import conditional
from tests.speculation.test_model_drafters import drafts, table_of
from tokenarium.backend.speculation.drafters.stochastic_beam import StochasticBeam
from tokenarium.backend.speculation.enumeration import Conditional, joint_distribution
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import ROOT, TokenTree

Below = tuple[tuple[int, int], ...]


def clocks(
    draft: Conditional, width: int, above: tuple[int, ...], below: Below
) -> dict[tuple[int, ...], float]:
    """The rates of the clocks that may ring next, by path."""
    top, rates = draft(()).tolist(), dict[tuple[int, ...], float]()
    if len(above) < width:
        rates |= {(x,): share for x, share in enumerate(top) if x not in above}
    if len(below) < width:
        for x in above:
            later = enumerate(draft((x,)).tolist())
            rates |= {(x, y): top[x] * share for y, share in later if (x, y) not in below}
    return rates


def beams(draft: Conditional, width: int) -> Iterator[tuple[TokenTree, float]]:
    """Every tree of two levels, and how likely it is.

    exp(-key) of a node is the time at which its clock rings, of rate q(path); the first child rings
    with its parent, every other one later at its own rate. The first so many of a level are kept,
    so what counts is which clock rings next: one of rate r does with probability r / total.
    """

    def race(
        above: tuple[int, ...], below: Below
    ) -> Iterator[tuple[tuple[int, ...], Below, float]]:
        if len(above) == width and len(below) == width:
            yield above, below, 1.0
            return
        rates = clocks(draft, width, above, below)
        total = sum(rates.values())
        for one, rate in rates.items():
            if len(one) == 2:
                for found in race(above, (*below, one)):
                    yield (*found[:2], found[2] * rate / total)
                continue
            children = draft(one).tolist() if len(below) < width else [1.0]
            for y, share in enumerate(children):
                more = (*below, (one[0], y)) if len(below) < width else below
                for found in race((*above, one[0]), more):
                    yield (*found[:2], found[2] * rate / total * share)

    for above, below, chance in race((), ()):
        tree = TokenTree.of(0)
        tree.draft_probs[ROOT] = draft(())
        nodes = {x: tree.add(ROOT, x) for x in above}
        for x, y in below:
            tree.draft_probs[nodes[x]] = draft((x,))
            tree.add(nodes[x], y)
        yield tree, chance


def test_two_tokens_of_every_beam_have_the_targets_joint_distribution() -> None:
    target, draft = conditional(2, 3), conditional(3, 3)
    wanted = torch.stack([target(())[token] * target((token,)) for token in range(3)])
    whole, reordered = torch.zeros(2, 3, 3, dtype=torch.float64)
    chances = 0.0
    recursive = Rule.registry.find("recursive")()
    for tree, chance in beams(draft, 2):
        whole += chance * joint_distribution(recursive, tree, target, 2)
        chances += chance
        likeliest = sorted(tree.tokens[1:3], key=lambda token: -float(draft(())[token]))
        if likeliest != tree.tokens[1:3]:  # as if siblings were tried by probability
            tree.tokens[1:3] = likeliest
            tree.parents[3:] = [3 - parent for parent in tree.parents[3:]]
            probs = tree.draft_probs
            tree.draft_probs = {ROOT: probs[ROOT]}
            tree.draft_probs |= {3 - node: each for node, each in probs.items() if node}
        reordered += chance * joint_distribution(recursive, tree, target, 2)
    assert chances == pytest.approx(1, abs=1e-12)
    assert float((whole - wanted).abs().sum() / 2) < 1e-12
    assert float((reordered - wanted).abs().sum() / 2) > 0.01


def shape_of(tree: TokenTree) -> tuple[tuple[int, ...], ...]:
    """Its nodes in draw order, level by level, each child after its siblings."""
    paths = [tuple(tree.tokens[n] for n in tree.path(node)[1:]) for node in range(1, len(tree))]
    first = [path for path in paths if len(path) == 1]
    return (*first, *sorted((p for p in paths if len(p) == 2), key=lambda p: p[0]))


def test_the_drafter_draws_beams_as_often_as_they_are_enumerated() -> None:
    table, count = table_of(3, seed=4), 3000
    rows = table.double().softmax(-1)

    def draft(text: tuple[int, ...]) -> torch.Tensor:
        return rows[text[-1] if text else 1]

    expected: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for tree, chance in beams(draft, 2):
        expected[shape_of(tree)] += chance
    state, one = drafts(table, sizes=(2, 4)), StochasticBeam(width=2)
    seen: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for _ in range(count):
        state.ids.append(1)
        seen[shape_of(one.propose(state))] += 1
    assert set(seen) <= set(expected)
    chances = np.array([expected[shape] * count for shape in expected])
    found = np.array([seen[shape] for shape in expected])
    degrees = len(chances) - 1
    chi_square = float(((found - chances) ** 2 / chances).sum())
    assert chi_square < degrees + 4 * np.sqrt(2 * degrees) + 8, (chi_square, degrees)


def test_without_noise_it_is_a_beam_search_and_keeps_to_its_width() -> None:
    table = table_of(12, seed=3)
    state = drafts(table, sizes=(3, 9), temperature=0.0)
    tree = StochasticBeam(width=3).propose(state)
    level, probs = [((), 1.0)], table.softmax(-1)
    for depth in (1, 2, 3):
        below = [
            ((*path, token), chance * float(probs[path[-1] if path else 1, token]))
            for path, chance in level
            for token in range(12)
        ]
        level = sorted(below, key=lambda one: -one[1])[:3]
        nodes = [node for node in range(1, len(tree)) if tree.depth(node) == depth]
        found = [tuple(tree.tokens[n] for n in tree.path(node)[1:]) for node in nodes]
        assert found == [path for path, _ in level]
    assert len(StochasticBeam(width=4).propose(drafts(table, sizes=(3, 6)))) == 7
