"""Stored judgements walk as the rules themselves do."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import drafted, uniforms
from tokenarium.backend.speculation.rule import find, registered
from tokenarium.backend.speculation.tree import ROOT, TokenTree
from tokenarium.backend.speculation.verify import walk
from tokenarium.backend.speculation.whatif import judge_all, rewalk

RULES = [kind() for kind in registered() if kind.__module__.startswith("tokenarium.backend.")]


def likely(tree, targets):
    """What the target gave each node, as a run stores it."""
    return [1.0] + [
        float(targets[parent][token]) if parent in targets else float("nan")
        for parent, token in zip(tree.parents[1:], tree.tokens[1:], strict=True)
    ]


def same(rule, column, judged, tree, targets, accept, follow) -> None:
    live = walk(rule, tree, targets, accept, follow)
    stored = rewalk(
        rule,
        tree.parents,
        tree.tokens,
        judged.accept[:, column],
        judged.follow[:, column],
        accept,
        likely(tree, targets),
    )
    assert stored is not None
    assert (stored.path, stored.token, stored.source) == (live.path, live.token, live.source)
    tested = {node: trial.accept for node, trial in live.trials.items()}
    assert tested == {node: stored.trials[node].accept for node in tested}


@settings(max_examples=60, deadline=None)
@given(st.data(), drafted())
def test_rewalk_equals_walk_for_every_rule(data, case):
    tree, targets = case
    accept, follow = (data.draw(uniforms(len(tree))) for _ in range(2))
    judged = judge_all(RULES, tree, targets, follow)
    assert judged.accept.shape == judged.follow.shape == (len(tree), len(RULES))
    for column, rule in enumerate(RULES):
        same(rule, column, judged, tree, targets, accept, follow)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vocabulary", [257, 3001])
def test_rewalk_equals_walk_over_large_vocabularies(vocabulary, dtype):
    rng = np.random.default_rng(0)
    tree, targets = TokenTree.of(0), {}
    for node in range(24):
        if node < 8:
            logits = torch.from_numpy(rng.normal(size=vocabulary)) * 4
            tree.laws[node] = logits.to(dtype).softmax(-1)
            for token in torch.multinomial(tree.laws[node], 3).tolist():
                tree.add(node, token)
        near = logits + torch.from_numpy(rng.normal(size=vocabulary))
        targets[node] = near.to(dtype).softmax(-1)
    targets |= dict.fromkeys(range(24, len(tree)), targets[0])
    for _ in range(5):
        accept, follow = rng.random((2, len(tree)))
        judged = judge_all(RULES, tree, targets, follow)
        for column, rule in enumerate(RULES):
            same(rule, column, judged, tree, targets, accept, follow)


def test_rules_that_need_the_drafts_law_say_they_cannot_judge():
    tree = TokenTree.of(0)
    node = tree.add(ROOT, 1)
    law = torch.tensor([0.2, 0.8], dtype=torch.float64)
    judged = judge_all(RULES, tree, {ROOT: law, node: law}, [0.5, 0.5])
    for column, rule in enumerate(RULES):
        known = not np.isnan(judged.accept[node, column])
        assert known != rule.reads_draft
        found = rewalk(
            rule,
            tree.parents,
            tree.tokens,
            judged.accept[:, column],
            judged.follow[:, column],
            [0.0, 0.0],
            [1.0, 0.8],
        )
        assert (found is not None) == known


def test_nodes_that_were_not_verified_are_not_judged():
    tree = TokenTree.of(0)
    kept, pruned = tree.add(ROOT, 1), tree.add(ROOT, 0)
    below = tree.add(pruned, 1)
    tree.pruned, law = {pruned}, torch.tensor([0.2, 0.8])
    judged = judge_all([find("greedy")()], tree, {ROOT: law, kept: law}, [0.5] * 4)
    assert np.isnan(judged.accept[[ROOT, pruned, below], 0]).all()
    assert judged.accept[kept, 0] == 1
    assert judged.follow[:, 0].tolist() == [1, 1, -1, -1]
