"""The same tree under other rules: evaluated while a run has the models, verified again later."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.distribution import sample, shared_residuals
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

    nodes: list[int]  # counted over all trees
    children: NDArray[np.int64]  # [F, k] nodes
    tokens: Tensor  # [F, k]
    target: Tensor  # [F, V]
    draft: Tensor | None  # [F, V]
    judged: Tensor | None  # [F, V]
    uniform: Tensor  # [F]


@dataclass(frozen=True)
class ReadTree:
    """A tree of N nodes that the target has read."""

    tree: TokenTree
    """With the distributions that children were drawn from, where there are."""
    targets: Mapping[int, Tensor]
    """By verified node, the target's distribution [V] after it."""
    next_uniforms: Sequence[float] | NDArray[np.float64]
    """[N] the number in [0, 1) that samples what follows a node, for every rule."""
    judged: Mapping[int, Tensor] | None = None
    """By verified node, what rules that had it read a second time test by; None where there is no
    such rule."""


def evaluate_rules(
    rules: Sequence[Rule],
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    next_uniforms: Sequence[float] | NDArray[np.float64],
    judged: Mapping[int, Tensor] | None = None,
) -> RuleEvaluation:
    """Evaluate several rules, which need not be exact for it, at every verified node of a tree.

    Arguments as of ``ReadTree``.
    """
    [found] = evaluate_trees(rules, [ReadTree(tree, targets, next_uniforms, judged)])
    return found


@torch.inference_mode()
def evaluate_trees(rules: Sequence[Rule], trees: Sequence[ReadTree]) -> list[RuleEvaluation]:
    """Evaluate several rules at every verified node of trees, nodes of one width at once."""
    starts = np.cumsum([0, *(len(each.tree) for each in trees)])
    accept_probs = np.full((starts[-1], len(rules)), np.nan)
    token = np.full((starts[-1], len(rules)), UNKNOWN)
    for group in _groups(trees, starts) if rules else ():
        drawn = _Drawn(group.uniform)
        with shared_residuals():
            for column, rule in enumerate(rules):
                if type(rule).bonus is Rule.bonus:
                    bonus = drawn(group.target)
                else:
                    bonus = rule.bonus(group.target, group.uniform).cpu().numpy()
                if not group.children.size:
                    token[group.nodes, column] = bonus
                elif group.draft is not None or not rule.needs_draft_probs:
                    target = group.target
                    if group.judged is not None and rule.rereads:
                        target = group.judged
                    tests = rule.acceptance_tests(target, group.draft, group.tokens)
                    width = group.tokens.shape[1]
                    accept_probs[group.children, column] = _stacked(islice(tests, width))
                    if not rule.one_sample:
                        residual = next(tests)
                        assert isinstance(residual, Residual)
                        bonus = drawn(residual.probs)
                    token[group.nodes, column] = bonus
    return [
        RuleEvaluation(accept_probs[start:stop], token[start:stop])
        for start, stop in pairwise(starts)
    ]


class _Drawn:
    """What the same numbers draw from distributions, each of which is drawn from once."""

    def __init__(self, uniform: Tensor) -> None:
        self._uniform = uniform
        self._known: dict[int, tuple[Tensor, NDArray[np.int64]]] = {}

    def __call__(self, probs: Tensor) -> NDArray[np.int64]:
        """Return the tokens [F] drawn from distributions [F, V]."""
        if id(probs) not in self._known:
            self._known[id(probs)] = probs, sample(probs, self._uniform).cpu().numpy()
        return self._known[id(probs)][1]


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


def _groups(trees: Sequence[ReadTree], starts: NDArray[np.int64]) -> Iterator[_Group]:
    groups: dict[tuple[int, bool, bool], list[tuple[int, int]]] = {}
    children = [each.tree.children_by_node() for each in trees]
    for number, (each, below) in enumerate(zip(trees, children, strict=True)):
        for node in each.tree.verified():
            drawn = bool(below[node]) and node in each.tree.draft_probs
            key = len(below[node]), drawn, each.judged is not None
            groups.setdefault(key, []).append((number, node))
    for (_, with_draft, reread), found in groups.items():
        here = [(trees[number], node) for number, node in found]
        target = torch.stack([each.targets[node] for each, node in here])
        draft = [each.tree.draft_probs[node] for each, node in here] if with_draft else None
        again = [(each.judged or each.targets)[node] for each, node in here] if reread else None
        below = [children[number][node] for number, node in found]
        tokens = [
            [each.tree.tokens[child] for child in each_below]
            for (each, _), each_below in zip(here, below, strict=True)
        ]
        first = np.array([starts[number] for number, _ in found])
        yield _Group(
            [int(starts[number]) + node for number, node in found],
            np.array(below, np.int64) + first[:, None],
            torch.tensor(tokens, dtype=torch.long).to(target.device),
            target,
            None if draft is None else torch.stack(draft),
            None if again is None else torch.stack(again),
            torch.tensor([each.next_uniforms[node] for each, node in here]).to(
                target.device, torch.double
            ),
        )
