"""The same tree under other rules: evaluated while a run has the models, verified again later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.distribution import sample
from tokenarium.backend.speculation.rule import AcceptanceTest, AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import TokenTree
from tokenarium.backend.speculation.verify import Verification, verify_with

UNKNOWN = -1
"""In place of a token: the rule needs the draft's distribution, and the drafter has none."""


@dataclass(frozen=True)
class RuleEvaluation:
    """R rules at every node of a tree of N: all that verification by each of them needs."""

    accept_probs: NDArray[np.float64]
    """[N, R] probability to accept a node, given that its elder siblings failed; NaN for the root,
    for nodes that were not verified, and where a rule cannot be evaluated."""
    next_tokens: NDArray[np.int64]
    """[N, R] token that follows a node where none of its children is accepted; -1 where a rule
    cannot be evaluated, and for nodes that were not verified."""


@dataclass
class _Group:
    """Nodes with the same number of children."""

    nodes: list[int]
    children: NDArray[np.int64]  # [F, k] nodes
    tokens: Tensor  # [F, k]
    target: Tensor  # [F, V]
    draft: Tensor | None  # [F, V]
    uniform: Tensor  # [F]


@torch.inference_mode()
def evaluate_rules(
    rules: Sequence[Rule],
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    next_uniforms: Sequence[float] | NDArray[np.float64],
    judged: Mapping[int, Tensor] | None = None,
) -> RuleEvaluation:
    """Evaluate several rules at every verified node of a tree, nodes of one width at once.

    Args:
        rules: may be any, also such as are not exact for this tree.
        tree: with the distributions that children were drawn from, where there are.
        targets: by verified node, the target's distribution [V] after it.
        next_uniforms: by node, the number in [0, 1) that samples what follows it, for every rule.
        judged: by verified node, what rules that had it read a second time test by; None where
            there is no such rule.
    """
    accept_probs = np.full((len(tree), len(rules)), np.nan)
    token = np.full((len(tree), len(rules)), UNKNOWN)
    if not rules:
        return RuleEvaluation(accept_probs, token)
    for group in _groups(tree, targets, next_uniforms):
        shared = Rule.bonus(rules[0], group.target, group.uniform)
        for column, rule in enumerate(rules):
            own = type(rule).bonus is not Rule.bonus
            bonus = rule.bonus(group.target, group.uniform) if own else shared
            if not group.children.size:
                token[group.nodes, column] = bonus.cpu()
            elif group.draft is not None or not rule.needs_draft_probs:
                target = group.target
                if judged is not None and rule.rereads:
                    target = torch.stack([judged[node] for node in group.nodes])
                tests = rule.acceptance_tests(target, group.draft, group.tokens)
                width = group.tokens.shape[1]
                accept_probs[group.children, column] = _stacked(islice(tests, width))
                if not rule.one_sample:
                    residual = next(tests)
                    assert isinstance(residual, Residual)
                    bonus = sample(residual.probs, group.uniform)
                token[group.nodes, column] = bonus.cpu()
    return RuleEvaluation(accept_probs, token)


def verify_stored(
    rule: Rule,
    parents: Sequence[int],
    tokens: Sequence[int],
    accept_probs: Sequence[float],
    next_tokens: Sequence[int],
    accept_uniforms: Sequence[float],
    target_probs: Sequence[float],
) -> Verification | None:
    """Verify a stored tree as ``verify`` would have; None where the rule cannot be evaluated.

    Args:
        rule: of the columns.
        parents: [N] index of each node's parent within the tree; -1 for the root.
        tokens: [N]
        accept_probs: [N] the rule's column of ``RuleEvaluation.accept_probs``.
        next_tokens: [N] the rule's column of ``RuleEvaluation.next_tokens``.
        accept_uniforms: [N] the number in [0, 1) that each node's acceptance is compared with.
        target_probs: [N] the target's probability of each node after its parent.
    """
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if parent >= 0 and not isnan(accept_probs[node]):
            children[parent].append(node)
    stored = _StoredTests(children, accept_probs, next_tokens, target_probs)
    found = verify_with(rule, tokens, children, stored, accept_uniforms)
    return None if found.token == UNKNOWN else found


class _StoredTests:
    """Tests from stored columns."""

    def __init__(
        self,
        children: Sequence[Sequence[int]],
        accept_probs: Sequence[float],
        next_tokens: Sequence[int],
        target_probs: Sequence[float],
    ) -> None:
        self._children, self._accept_probs = children, accept_probs
        self._next_tokens, self._target_probs = next_tokens, target_probs

    def tests(self, node: int) -> Iterator[AcceptanceTest]:
        """Yield the stored tests of a node's children."""
        for child in self._children[node]:
            accept_prob, target_prob = self._accept_probs[child], self._target_probs[child]
            yield AcceptanceTest(float(accept_prob), float(target_prob), float("nan"))

    def next_token(self, node: int) -> int:
        """Return the token that was sampled."""
        return int(self._next_tokens[node])


def _stacked(tests: Iterator[AcceptanceTests | Residual]) -> NDArray[np.float64]:
    """Return the probabilities to accept [F, k]."""
    columns: list[Tensor] = []
    for test in tests:
        assert isinstance(test, AcceptanceTests)
        columns.append(test.accept_prob)
    return torch.stack(columns, -1).double().cpu().numpy()


def _groups(
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    next_uniforms: Sequence[float] | NDArray[np.float64],
) -> Iterator[_Group]:
    children = tree.children_by_node()
    groups: dict[tuple[int, bool], list[int]] = {}
    for node in tree.verified():
        drawn = bool(children[node]) and node in tree.draft_probs
        groups.setdefault((len(children[node]), drawn), []).append(node)
    for (_, with_draft), nodes in groups.items():
        target = torch.stack([targets[node] for node in nodes])
        below = np.array([children[node] for node in nodes], np.int64)
        yield _Group(
            nodes,
            below,
            torch.from_numpy(np.array(tree.tokens)[below]).to(target.device),
            target,
            torch.stack([tree.draft_probs[node] for node in nodes]) if with_draft else None,
            torch.tensor([next_uniforms[node] for node in nodes]).to(target.device, torch.double),
        )
