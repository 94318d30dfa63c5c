"""Verification of a tree: what is tested, where it ends, and the distribution of its output."""

import numpy as np
import pytest
import torch

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import DRAWS
from tokenarium.backend.speculation.enumeration import sibling_sets
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import ROOT, TokenTree
from tokenarium.backend.speculation.verify import verify

RULES = [kind for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
LOSSLESS = [kind for kind in RULES if kind.promise == "lossless" and not kind.greedy_only]
VALID = [(kind, draw) for kind in LOSSLESS for draw in DRAWS if draw in kind.exact_for]
EVERY = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.slug)


def probs(*masses: float) -> torch.Tensor:
    return torch.tensor(masses, dtype=torch.float64)


def small() -> tuple[TokenTree, dict[int, torch.Tensor]]:
    """Root 0 with children 1 (token 1) and 2 (token 2); 3 (token 0) under 2."""
    tree = TokenTree.of(9)
    for parent, token in ((0, 1), (0, 2), (2, 0)):
        tree.add(parent, token)
    tree.draft_probs = {0: probs(0.2, 0.4, 0.4), 2: probs(0.8, 0.1, 0.1)}
    targets = {
        0: probs(0.1, 0.2, 0.7),
        1: probs(1, 0, 0),
        2: probs(0.4, 0.6, 0),
        3: probs(0, 0.5, 0.5),
    }
    return tree, targets


def test_walk_tests_children_in_order_and_stops_at_the_first_that_passes():
    tree, targets = small()
    found = verify(
        Rule.registry.find("recursive")(), tree, targets, [0.0, 0.6, 0.99, 0.49], [0, 0, 0, 0.75]
    )
    # Child 1 passes below 0.5 and fails; child 2 is then certain; 3 passes below 0.4 / 0.8.
    assert (found.path, found.token, found.ending) == ([0, 2, 3], 2, "bonus")
    assert [found.tests[node].accept_prob for node in (1, 2, 3)] == pytest.approx([0.5, 1, 0.5])
    early = verify(
        Rule.registry.find("recursive")(), tree, targets, [0.0, 0.4, 0.0, 0.0], [0.0, 0.5, 0, 0]
    )
    assert (early.path, early.token, early.ending) == ([0, 1], 0, "bonus")
    assert list(early.tests) == [1]


def test_walk_replaces_what_it_refuses_by_what_is_left():
    tree, targets = small()
    found = verify(
        Rule.registry.find("recursive")(), tree, targets, [0.0, 0.6, 0.0, 0.5], [0, 0, 0, 0]
    )
    assert (found.path, found.token, found.ending) == ([0, 2], 1, "resampled")


def test_walk_looks_for_the_one_token_it_drew():
    tree, targets = small()
    found = verify(
        Rule.registry.find("sample_and_match")(), tree, targets, [0.0] * 4, [0.31, 0, 0.3, 0.2]
    )
    assert (found.path, found.token, found.ending) == ([0, 2, 3], 1, "bonus")
    missed = verify(
        Rule.registry.find("sample_and_match")(), tree, targets, [0.0] * 4, [0.09, 0, 0, 0]
    )
    assert (missed.path, missed.token, missed.ending) == ([0], 0, "resampled")


def test_walk_takes_the_longest_typical_path_and_the_likeliest_of_equals():
    typical = Rule.registry.find("typical")()
    tree, targets = small()
    found = verify(typical, tree, targets, [0.9] * 4, [0.9] * 4)
    assert (found.path, found.token, found.ending) == ([0, 2, 3], 2, "bonus")
    assert set(found.tests) == {1, 2, 3}
    tree.pruned = {3}
    assert verify(typical, tree, targets, [0.9] * 4, [0.9] * 4).path == [0, 2]
    targets[0] = probs(0.1, 0.45, 0.45)
    assert verify(typical, tree, targets, [0.9] * 4, [0.9] * 4).path == [0, 1]


@EVERY
def test_walk_of_a_root_alone_draws_from_the_target(kind):
    target = probs(0.2, 0.8, 0)
    found = verify(kind(), TokenTree.of(5), {ROOT: target}, [0.0], [0.9999])
    assert (found.path, found.token, found.ending) == ([0], 1, "bonus")


@EVERY
def test_walk_tests_no_pruned_node(kind):
    tree, targets = small()
    tree.pruned = {2}
    del targets[2], targets[3]
    found = verify(kind(), tree, targets, [0.99] * 4, [0.99] * 4)
    assert not {2, 3} & {*found.path, *found.tests}


def test_walk_asks_for_no_more_tests_than_it_needs():
    tree, targets = small()
    asked: list[int] = []

    class Counting(Rule):
        """Counts what it is asked; not registered, having no slug."""

        def acceptance_tests(self, target, draft, children):
            for test in Rule.registry.find("top_k_set")().acceptance_tests(target, draft, children):
                asked.append(1)
                yield test

    verify(Counting(), tree, targets, [0.0, 0.0, 0.0, 0.0], [0.0] * 4)
    assert len(asked) == 1


def random_tree(rng: np.random.Generator, drafts, known) -> TokenTree:
    """A tree of two levels over 3 tokens; known: the families that may follow a text."""
    tree, texts = TokenTree.of(0), {ROOT: ()}
    for node in (ROOT, 1):
        tree.draft_probs[node] = torch.from_numpy(drafts[texts[node]])
        found, chances = zip(*known[texts[node]], strict=True)
        for token in found[rng.choice(len(found), p=chances)]:
            texts[tree.add(node, token)] = (*texts[node], token)
    return tree


@pytest.mark.parametrize(("kind", "draw"), VALID, ids=[f"{k.slug}-{d}" for k, d in VALID])
def test_walk_writes_pairs_of_tokens_with_the_targets_law(kind, draw):
    """Chi-square at 600 walks; the exact test of every rule is in test_enumeration."""
    rng, count = np.random.default_rng(5), 600
    places = [(), (0,), (1,), (2,)]
    targets, drafts = (
        dict(zip(places, rng.dirichlet(np.ones(3), 4), strict=True)) for _ in range(2)
    )
    wanted = np.array([targets[()][a] * targets[a,] for a in range(3)])  # [first, second]
    deeper = torch.full((3,), 1 / 3, dtype=torch.float64)
    rule, seen = kind(), np.zeros((3, 3))
    most = kind.max_children or 2
    known = {text: list(sibling_sets(drafts[text].tolist(), draw, most)) for text in places}
    for _ in range(count):
        tree = random_tree(rng, drafts, known)
        by_node = {ROOT: torch.from_numpy(targets[()])}
        for node in range(1, len(tree)):
            above = tree.parents[node] == ROOT
            by_node[node] = torch.from_numpy(targets[tree.tokens[node],]) if above else deeper
        found = verify(rule, tree, by_node, rng.random(len(tree)), rng.random(len(tree)))
        text = [*(tree.tokens[node] for node in found.path[1:]), found.token]
        if len(text) < 2:
            text.append(int(rng.choice(3, p=targets[text[0],])))
        seen[text[0], text[1]] += 1
    chi_square = float(((seen - count * wanted) ** 2 / (count * wanted)).sum())
    p_value = float(torch.special.gammaincc(torch.tensor(8 / 2.0), torch.tensor(chi_square / 2)))
    assert p_value > 1e-3
