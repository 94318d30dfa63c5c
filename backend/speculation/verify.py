"""An acceptance rule walks down a tree: which guesses stay, and what follows them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Literal, Protocol

import torch
from torch import Tensor

from tokenarium.backend.speculation.drafting import draw
from tokenarium.backend.speculation.rule import Rest, Rule, Trial, Trials
from tokenarium.backend.speculation.tree import ROOT, TokenTree

Source = Literal["bonus", "resampled"]
"""Whether the last token follows a path that was accepted to its end, or replaces a guess."""


@dataclass(frozen=True)
class Walk:
    """What a rule made of a tree."""

    path: list[int]
    """Accepted nodes, the root first."""
    token: int
    """What follows the last of them."""
    source: Source
    trials: dict[int, Trial] = field(default_factory=dict)
    """By node, the tests that were made."""


class Judge(Protocol):
    """Knows a rule's tests of a tree's nodes, from laws or from what was stored of them."""

    def trials(self, node: int) -> Iterator[Trial]:
        """Yield the test of each verified child in draw order."""

    def follow(self, node: int) -> int:
        """Return the token that follows a node where no child is taken.

        Rules that draw one token and look for it may ask this first, others after all trials.
        """


def walk(
    rule: Rule,
    tree: TokenTree,
    targets: Mapping[int, Tensor],
    accept: Sequence[float],
    follow: Sequence[float],
) -> Walk:
    """Walk from the root as far as the rule accepts.

    Args:
        rule: judges the children of one node at a time.
        tree: drafted and verified.
        targets: by verified node, the target's law [V] after it.
        accept: by node, the number in [0, 1) that its test is compared with.
        follow: by node, the number in [0, 1) that draws what follows it.
    """
    families = tree.families()
    return descend(
        rule, tree.tokens, families, _Live(rule, tree, families, targets, follow), accept
    )


def descend(
    rule: Rule,
    tokens: Sequence[int],
    families: Sequence[Sequence[int]],
    judge: Judge,
    accept: Sequence[float],
) -> Walk:
    """Walk down a tree by a judge's tests.

    Args:
        rule: of whose kind the tests are.
        tokens: by node.
        families: by node, its verified children in draw order.
        judge: of this rule and this tree.
        accept: by node, the number in [0, 1) that its test is compared with.
    """
    trials: dict[int, Trial] = {}

    def passing(node: int) -> Iterator[int]:
        """Yield the children that pass, testing no further than is asked."""
        drawn = judge.follow(node) if rule.one_draw and families[node] else None
        for child, trial in zip(families[node], judge.trials(node), strict=False):
            trials[child] = trial
            if accept[child] < trial.accept if drawn is None else tokens[child] == drawn:
                yield child

    path = _longest(passing, trials) if rule.longest else _first(passing)
    source: Source = "resampled" if families[path[-1]] else "bonus"
    return Walk(path, judge.follow(path[-1]), source, trials)


def _first(passing: Callable[[int], Iterator[int]]) -> list[int]:
    """Return the path of first children that pass."""
    path = [ROOT]
    while (child := next(passing(path[-1]), None)) is not None:
        path.append(child)
    return path


def _longest(passing: Callable[[int], Iterator[int]], trials: Mapping[int, Trial]) -> list[int]:
    """Return the longest path of children that pass, of equals the likeliest, then the first."""
    paths = [([ROOT], 0.0)]
    for path, likely in paths:  # grows meanwhile
        paths += [
            ([*path, child], likely + log(trials[child].target)) for child in passing(path[-1])
        ]
    return max(paths, key=lambda found: (len(found[0]), found[1]))[0]


class _Live:
    """Judges by the laws, as far as it is asked."""

    def __init__(
        self,
        rule: Rule,
        tree: TokenTree,
        families: Sequence[Sequence[int]],
        targets: Mapping[int, Tensor],
        follow: Sequence[float],
    ) -> None:
        self._rule, self._tree, self._families = rule, tree, families
        self._targets, self._uniforms = targets, follow
        self._asked: dict[int, Iterator[Trial | Rest]] = {}

    def trials(self, node: int) -> Iterator[Trial]:
        """Yield the tests of a node's children."""
        children = [self._tree.tokens[child] for child in self._families[node]]
        self._asked[node] = trials_of(
            self._rule, self._targets[node], self._tree.laws.get(node), children
        )
        for test in self._asked[node]:
            assert isinstance(test, Trial)
            yield test

    def follow(self, node: int) -> int:
        """Draw from what the tests left over."""
        target, uniform = self._targets[node], self._uniforms[node]
        if self._rule.one_draw or not self._families[node]:
            at = torch.tensor([uniform], dtype=torch.double, device=target.device)
            return int(self._rule.bonus(target[None], at))
        rest = next(self._asked[node])
        assert isinstance(rest, Rest)
        return draw(rest.law[0], uniform)


def trials_of(
    rule: Rule, target: Tensor, draft: Tensor | None, children: Sequence[int]
) -> Iterator[Trial | Rest]:
    """Yield a rule's tests of the children of one node as numbers, then what is left.

    Args:
        rule: tests no child that is not asked for.
        target: [V] the target's law after the node.
        draft: [V] the law the children were drawn from; None where there was none.
        children: token ids in draw order.
    """
    tokens = torch.tensor([children], dtype=torch.long, device=target.device)
    for test in rule.trials(target[None], None if draft is None else draft[None], tokens):
        if isinstance(test, Rest):
            yield test
        else:
            yield single(test)


def single(test: Trials) -> Trial:
    """Return the test of the only node there is."""
    given = torch.full_like(test.accept, torch.nan) if test.draft is None else test.draft
    return Trial(*torch.cat([test.accept, test.target, given]).tolist())
