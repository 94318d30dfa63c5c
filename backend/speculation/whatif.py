"""The same verified tree judged under other rules, now or later, without the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.distribution import drawn
from tokenarium.backend.speculation.rule import Rest, Rule, Trial, Trials
from tokenarium.backend.speculation.tree import TokenTree
from tokenarium.backend.speculation.verify import Walk, descend

UNKNOWN = -1
"""In place of a token: the rule needs the law that the children were drawn from, and none is."""


@dataclass(frozen=True)
class Judged:
    """What R rules say of every node of a tree of N: all that a walk by each of them needs."""

    accept: NDArray[np.float64]
    """[N, R] probability to accept a node, given that its elder siblings failed; NaN for the root,
    for nodes that were not verified, and where a rule cannot judge."""
    follow: NDArray[np.int64]
    """[N, R] token that follows a node where none of its children is taken; -1 where a rule cannot
    judge them, and for nodes that were not verified."""


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
def judge_all(
    rules: Sequence[Rule],
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    follow: Sequence[float] | NDArray[np.float64],
) -> Judged:
    """Judge every verified node of a tree under several rules.

    Args:
        rules: may be any, also such as are not exact for this tree.
        tree: with the laws that children were drawn from, where there are.
        targets: by verified node, the target's law [V] after it.
        follow: by node, the number in [0, 1) that draws what follows it, the same for every rule.
    """
    accept = np.full((len(tree), len(rules)), np.nan)
    token = np.full((len(tree), len(rules)), UNKNOWN)
    if not rules:
        return Judged(accept, token)
    for group in _groups(tree, targets, follow):
        shared = Rule.bonus(rules[0], group.target, group.uniform)
        for column, rule in enumerate(rules):
            own = type(rule).bonus is not Rule.bonus
            bonus = rule.bonus(group.target, group.uniform) if own else shared
            if not group.children.size:
                token[group.nodes, column] = bonus.cpu()
            elif group.draft is not None or not rule.reads_draft:
                tests = rule.trials(group.target, group.draft, group.tokens)
                accept[group.children, column] = _accepts(islice(tests, group.tokens.shape[1]))
                if not rule.one_draw:
                    rest = next(tests)
                    assert isinstance(rest, Rest)
                    bonus = drawn(rest.law, group.uniform)
                token[group.nodes, column] = bonus.cpu()
    return Judged(accept, token)


def rewalk(
    rule: Rule,
    parents: Sequence[int],
    tokens: Sequence[int],
    accept: Sequence[float],
    follow: Sequence[int],
    uniforms: Sequence[float],
    likely: Sequence[float],
) -> Walk | None:
    """Walk down a stored tree as ``walk`` would have; None where the rule cannot judge it.

    Args:
        rule: of the columns.
        parents: [N] index of each node's parent within the tree; -1 for the root.
        tokens: [N]
        accept: [N] the rule's column of ``Judged.accept``.
        follow: [N] the rule's column of ``Judged.follow``.
        uniforms: [N] the number in [0, 1) that each node's test is compared with.
        likely: [N] what the target's law gave each node.
    """
    families: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if parent >= 0 and not isnan(accept[node]):
            families[parent].append(node)
    stored = _Stored(families, accept, follow, likely)
    found = descend(rule, tokens, families, stored, uniforms)
    return None if found.token == UNKNOWN else found


class _Stored:
    """Judges by columns."""

    def __init__(
        self,
        families: Sequence[Sequence[int]],
        accept: Sequence[float],
        follow: Sequence[int],
        likely: Sequence[float],
    ) -> None:
        self._families, self._accept, self._follow = families, accept, follow
        self._likely = likely

    def trials(self, node: int) -> Iterator[Trial]:
        """Yield what was stored of the children."""
        for child in self._families[node]:
            yield Trial(float(self._accept[child]), float(self._likely[child]), float("nan"))

    def follow(self, node: int) -> int:
        """Return the token that was drawn."""
        return int(self._follow[node])


def _accepts(tests: Iterator[Trials | Rest]) -> NDArray[np.float64]:
    """Return the accept probabilities [F, k]."""
    columns: list[Tensor] = []
    for test in tests:
        assert isinstance(test, Trials)
        columns.append(test.accept)
    return torch.stack(columns, -1).double().cpu().numpy()


def _groups(
    tree: TokenTree, targets: Mapping[int, Tensor], follow: Sequence[float] | NDArray[np.float64]
) -> Iterator[_Group]:
    families = tree.families()
    groups: dict[tuple[int, bool], list[int]] = {}
    for node in tree.verified():
        judged = bool(families[node]) and node in tree.laws
        groups.setdefault((len(families[node]), judged), []).append(node)
    for (_, with_draft), nodes in groups.items():
        target = torch.stack([targets[node] for node in nodes])
        children = np.array([families[node] for node in nodes], np.int64)
        yield _Group(
            nodes,
            children,
            torch.from_numpy(np.array(tree.tokens)[children]).to(target.device),
            target,
            torch.stack([tree.laws[node] for node in nodes]) if with_draft else None,
            torch.tensor([follow[node] for node in nodes]).to(target.device, torch.double),
        )
