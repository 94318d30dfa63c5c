"""Stored columns verify as the rules themselves do."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import drafted, uniforms
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import ROOT, TokenTree
from tokenarium.backend.speculation.verify import verify
from tokenarium.backend.speculation.whatif import evaluate_rules, verify_stored

RULES = [
    kind() for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]


def likely(tree, targets):
    """What the target gave each node, as a run stores it."""
    return [1.0] + [
        float(targets[parent][token]) if parent in targets else float("nan")
        for parent, token in zip(tree.parents[1:], tree.tokens[1:], strict=True)
    ]


def same(rule, column, judged, tree, targets, accept, follow) -> None:
    live = verify(rule, tree, targets, accept, follow)
    stored = verify_stored(
        rule,
        tree.parents,
        tree.tokens,
        judged.accept_probs[:, column],
        judged.next_tokens[:, column],
        accept,
        likely(tree, targets),
    )
    assert stored is not None
    assert (stored.path, stored.token, stored.ending) == (live.path, live.token, live.ending)
    tested = {node: test.accept_prob for node, test in live.tests.items()}
    assert tested == {node: stored.tests[node].accept_prob for node in tested}


@settings(max_examples=60, deadline=None)
@given(st.data(), drafted())
def test_stored_columns_verify_as_the_rule_for_every_rule(data, case):
    tree, targets = case
    accept, follow = (data.draw(uniforms(len(tree))) for _ in range(2))
    judged = evaluate_rules(RULES, tree, targets, follow)
    assert judged.accept_probs.shape == judged.next_tokens.shape == (len(tree), len(RULES))
    for column, rule in enumerate(RULES):
        same(rule, column, judged, tree, targets, accept, follow)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vocabulary", [257, 3001])
def test_stored_columns_verify_as_the_rule_over_large_vocabularies(vocabulary, dtype):
    rng = np.random.default_rng(0)
    tree, targets = TokenTree.of(0), {}
    for node in range(24):
        if node < 8:
            logits = torch.from_numpy(rng.normal(size=vocabulary)) * 4
            tree.draft_probs[node] = logits.to(dtype).softmax(-1)
            for token in torch.multinomial(tree.draft_probs[node], 3).tolist():
                tree.add(node, token)
        near = logits + torch.from_numpy(rng.normal(size=vocabulary))
        targets[node] = near.to(dtype).softmax(-1)
    targets |= dict.fromkeys(range(24, len(tree)), targets[0])
    for _ in range(5):
        accept, follow = rng.random((2, len(tree)))
        judged = evaluate_rules(RULES, tree, targets, follow)
        for column, rule in enumerate(RULES):
            same(rule, column, judged, tree, targets, accept, follow)


def test_rules_that_need_the_drafts_law_say_they_cannot_judge():
    tree = TokenTree.of(0)
    node = tree.add(ROOT, 1)
    probs = torch.tensor([0.2, 0.8], dtype=torch.float64)
    judged = evaluate_rules(RULES, tree, {ROOT: probs, node: probs}, [0.5, 0.5])
    for column, rule in enumerate(RULES):
        known = not np.isnan(judged.accept_probs[node, column])
        assert known != rule.needs_draft_probs
        found = verify_stored(
            rule,
            tree.parents,
            tree.tokens,
            judged.accept_probs[:, column],
            judged.next_tokens[:, column],
            [0.0, 0.0],
            [1.0, 0.8],
        )
        assert (found is not None) == known


def test_nodes_that_were_not_verified_are_not_judged():
    tree = TokenTree.of(0)
    kept, pruned = tree.add(ROOT, 1), tree.add(ROOT, 0)
    below = tree.add(pruned, 1)
    tree.pruned, probs = {pruned}, torch.tensor([0.2, 0.8])
    judged = evaluate_rules(
        [Rule.registry.find("greedy")()], tree, {ROOT: probs, kept: probs}, [0.5] * 4
    )
    assert np.isnan(judged.accept_probs[[ROOT, pruned, below], 0]).all()
    assert judged.accept_probs[kept, 0] == 1
    assert judged.next_tokens[:, 0].tolist() == [1, 1, -1, -1]
