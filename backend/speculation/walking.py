"""An acceptance rule walks down a tree: which guesses stay, and what follows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from backend.speculation.drafting import draw
from backend.speculation.rule import Rest, Rule, Trial
from backend.speculation.tree import ROOT, TokenTree

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
    path, trials = [ROOT], dict[int, Trial]()
    while True:
        node = path[-1]
        children = families[node]
        if not children:
            return Walk(path, draw(targets[node], follow[node]), "bonus", trials)
        chosen: int | None = None
        tokens = [tree.tokens[child] for child in children]
        drawn = draw(targets[node], follow[node]) if rule.one_draw else None
        tests = rule.trials(targets[node], tree.laws.get(node), tokens)
        rest = None
        for test, child in zip(tests, [*children, None], strict=False):
            if isinstance(test, Rest):
                rest = test.law
                break
            assert child is not None
            trials[child] = test
            passed = accept[child] < test.accept if drawn is None else tree.tokens[child] == drawn
            if passed:
                chosen = child
                break
        if chosen is None:
            if drawn is None:
                assert rest is not None
                drawn = draw(rest, follow[node])
            return Walk(path, drawn, "resampled", trials)
        path.append(chosen)
