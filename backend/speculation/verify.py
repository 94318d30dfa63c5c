"""Verification of a tree by an acceptance rule: which drafted tokens stay, and what follows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import log
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.distribution import sample_one
from tokenarium.backend.speculation.rule import AcceptanceTest, AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import ROOT, TokenTree

Ending = Literal["bonus", "resampled"]
"""Whether the last token follows a path accepted to its end, or replaces a rejected token."""


@dataclass(frozen=True)
class Verification:
    """What a rule accepted of a tree, and the token that follows."""

    path: list[int]
    """Accepted nodes, the root first."""
    token: int
    """What follows the last of them."""
    ending: Ending
    tests: Mapping[int, AcceptanceTest] = field(default_factory=dict)
    """By node, the tests that were made."""


class NodeTests(Protocol):
    """A rule's tests of a tree's nodes, computed from distributions or read from stored columns."""

    def tests(self, node: int) -> Iterator[AcceptanceTest]:
        """Yield the test of each verified child of a node in draw order."""

    def next_token(self, node: int) -> int:
        """Return the token that follows a node where no child is accepted.

        Rules that sample one token and look for it may ask this first, others after all tests.
        """


def verify(
    rule: Rule,
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    accept_uniforms: Sequence[float] | NDArray[np.float64],
    next_uniforms: Sequence[float] | NDArray[np.float64],
) -> Verification:
    """Accept nodes from the root on as far as the rule allows.

    Args:
        rule: tests the children of one node at a time.
        tree: drafted, and read by the target.
        targets: by verified node, the target's distribution [V] after it.
        accept_uniforms: by node, the number in [0, 1) that its acceptance is compared with.
        next_uniforms: by node, the number in [0, 1) that samples what follows it.
    """
    computed = ComputedTests(rule, tree, targets, next_uniforms)
    return verify_with(rule, tree.tokens, computed.children, computed, accept_uniforms)


def verify_with(
    rule: Rule,
    tokens: Sequence[int],
    children: Sequence[Sequence[int]],
    node_tests: NodeTests,
    accept_uniforms: Sequence[float] | NDArray[np.float64],
) -> Verification:
    """Accept nodes of a tree by tests that may be stored ones.

    Args:
        rule: whose tests they are.
        tokens: by node.
        children: by node, its verified children in draw order.
        node_tests: of this rule and this tree.
        accept_uniforms: by node, the number in [0, 1) that its acceptance is compared with.
    """
    made: dict[int, AcceptanceTest] = {}
    compared = _Compared(node_tests)

    def passing(node: int) -> Iterator[int]:
        """Yield the children that pass, testing no further than is asked."""
        for child, test in zip(children[node], node_tests.tests(node), strict=False):
            made[child] = test
            if accept_uniforms[child] < test.accept_prob:
                yield child

    def sampled(node: int) -> Iterator[int]:
        """Yield the child that is what was sampled; its probability decides nothing."""
        token = node_tests.next_token(node) if children[node] else None
        for rank, child in enumerate(children[node]):
            compared.places[child] = node, rank
            if tokens[child] == token:
                yield child

    if rule.one_sample:
        path = _first(sampled)
        ending: Ending = "resampled" if children[path[-1]] else "bonus"
        return Verification(path, node_tests.next_token(path[-1]), ending, compared)
    path = _longest(passing, made) if rule.longest_path else _first(passing)
    ending = "resampled" if children[path[-1]] else "bonus"
    return Verification(path, node_tests.next_token(path[-1]), ending, made)


class _Compared(Mapping[int, AcceptanceTest]):
    """Tests of nodes that were compared with a sampled token, computed when looked up."""

    def __init__(self, node_tests: NodeTests) -> None:
        self._node_tests = node_tests
        self.places: dict[int, tuple[int, int]] = {}
        """By node, its parent and its place among the children."""

    def __getitem__(self, node: int) -> AcceptanceTest:
        parent, rank = self.places[node]
        return next(islice(self._node_tests.tests(parent), rank, None))

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return repr(dict(self))


def _first(passing: Callable[[int], Iterator[int]]) -> list[int]:
    """Return the path of first children that pass."""
    path = [ROOT]
    while (child := next(passing(path[-1]), None)) is not None:
        path.append(child)
    return path


def _longest(
    passing: Callable[[int], Iterator[int]], made: Mapping[int, AcceptanceTest]
) -> list[int]:
    """Return the longest path of children that pass, of equals the likeliest, then the first."""
    paths = [([ROOT], 0.0)]
    for path, log_prob in paths:  # grows meanwhile
        paths += [
            ([*path, child], log_prob + log(made[child].target_prob)) for child in passing(path[-1])
        ]
    return max(paths, key=lambda found: (len(found[0]), found[1]))[0]


class ComputedTests:
    """A rule's tests of a tree's nodes, each computed when it is first asked for, then kept.

    Args:
        rule: tests the children of one node at a time.
        tree: drafted, and read by the target.
        targets: by verified node, the target's distribution [V] after it.
        next_uniforms: by node, the number in [0, 1) that samples what follows it.
    """

    def __init__(
        self,
        rule: Rule,
        tree: TokenTree,
        targets: Mapping[int, Tensor],
        next_uniforms: Sequence[float] | NDArray[np.float64],
    ) -> None:
        self._rule, self._tree = rule, tree
        self._targets, self._uniforms = targets, next_uniforms
        self.children = tree.children_by_node()
        """By node, its verified children in draw order."""
        self._pending: dict[int, Iterator[AcceptanceTest | Residual]] = {}
        self._made: dict[int, list[AcceptanceTest]] = {}
        self._residuals: dict[int, Tensor] = {}

    def tests(self, node: int) -> Iterator[AcceptanceTest]:
        """Yield the tests of a node's children in draw order."""
        made = self._made.setdefault(node, [])
        rank = 0
        while rank < len(made) or self._compute_next(node):
            yield made[rank]
            rank += 1

    def residual(self, node: int) -> Tensor:
        """Return the distribution [V] of what follows a node whose children all fail."""
        while self._compute_next(node):
            pass
        return self._residuals[node]

    def next_token(self, node: int) -> int:
        """Sample what follows a node: the bonus token, or a replacement from the residual."""
        target, uniform = self._targets[node], self._uniforms[node]
        if self._rule.one_sample or not self.children[node]:
            at = torch.tensor([uniform], dtype=torch.double, device=target.device)
            return int(self._rule.bonus(target[None], at))
        return sample_one(self.residual(node), uniform)

    def _compute_next(self, node: int) -> bool:
        """Compute one test more; False where all were made, the residual then being known."""
        if node in self._residuals:
            return False
        if node not in self._pending:
            children = [self._tree.tokens[child] for child in self.children[node]]
            draft = self._tree.draft_probs.get(node)
            self._pending[node] = compute_tests(self._rule, self._targets[node], draft, children)
        found = next(self._pending[node])
        if isinstance(found, Residual):
            self._residuals[node] = found.probs[0]
            return False
        self._made.setdefault(node, []).append(found)
        return True


def compute_tests(
    rule: Rule, target: Tensor, draft: Tensor | None, children: Sequence[int]
) -> Iterator[AcceptanceTest | Residual]:
    """Yield a rule's tests of the children of one node as numbers, then the residual.

    Args:
        rule: tests no child that is not asked for.
        target: [V] the target's distribution after the node.
        draft: [V] the distribution the children were drawn from; None where there is none.
        children: token ids in draw order.
    """
    tokens = torch.tensor([children], dtype=torch.long, device=target.device)
    for found in rule.acceptance_tests(
        target[None], None if draft is None else draft[None], tokens
    ):
        yield found if isinstance(found, Residual) else _as_numbers(found)


def _as_numbers(tests: AcceptanceTests) -> AcceptanceTest:
    """Return the test of the only node there is; one transfer where it is on a GPU."""
    draft = tests.draft_prob
    known = torch.full_like(tests.accept_prob, torch.nan) if draft is None else draft
    return AcceptanceTest(*torch.cat([tests.accept_prob, tests.target_prob, known]).tolist())
