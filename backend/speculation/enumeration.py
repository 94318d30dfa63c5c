"""Exact laws of what a rule puts out, by going through everything that can be drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.speculation.rule import Rest, Rule, Trials
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

Mistake = Literal["pruned", "reordered"]
"""What a drafter must not do to children it drew: drop the one it likes least, or sort them."""


@dataclass(frozen=True)
class Outputs:
    """What a rule puts out after P nodes, over all their drafts."""

    laws: Tensor
    """[P, V] of the next token, float64."""
    accepted: Tensor
    """[P] probability that some child is accepted."""

    def distance(self, targets: Tensor) -> Tensor:
        """Return the total variation distances [P] from the laws that were wanted [P, V]."""
        return (self.laws - targets).abs().sum(-1) / 2


@dataclass(frozen=True)
class Bias:
    """How far a rule's output is from the target's law, over pairs of random laws."""

    mean: float
    """Total variation distance, which is between 0 and 1."""
    largest: float
    accepted: float
    """Mean probability that some child is accepted."""
    pairs: int
    vocabulary: int
    children: int


def random_laws(pairs: int, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return targets and drafts [P, V], float64, each uniform among all laws."""
    laws = np.random.default_rng(seed).dirichlet(np.ones(vocabulary), (2, pairs))
    targets, drafts = torch.from_numpy(laws).unbind(0)
    return targets, drafts


def bias(
    rule: Rule,
    draw: Draw,
    children: int = 2,
    mistake: Mistake | None = None,
    pairs: int = 400,
    vocabulary: int = 5,
    seed: int = 0,
) -> Bias:
    """Return how far a rule's output is from the target's law, exactly, for random laws.

    Args:
        rule: may be one that is not made for the draw.
        draw: how children are chosen.
        children: drawn per node; no more than the rule can judge.
        mistake: made after drawing; a child more is drawn where one is pruned.
        pairs: of random target and draft.
        vocabulary: tokens; every draft of so many is gone through.
        seed: of the laws.
    """
    children = min(children, rule.most_children or children)
    targets, drafts = random_laws(pairs, vocabulary, seed)
    found = outputs(rule, targets, drafts, draw, children, mistake)
    far = found.distance(targets)
    return Bias(
        float(far.mean()),
        float(far.max()),
        float(found.accepted.mean()),
        pairs,
        vocabulary,
        children,
    )


def outputs(
    rule: Rule,
    targets: Tensor,
    drafts: Tensor,
    draw: Draw,
    children: int,
    mistake: Mistake | None = None,
    drawn_from: Tensor | None = None,
) -> Outputs:
    """Return the law of the token that follows each of P nodes.

    Args:
        rule: judges the children.
        targets: [P, V] float64.
        drafts: [P, V] the laws that the rule is told the children were drawn from.
        draw: how they are chosen.
        children: drawn per node; fewer where fewer tokens have mass.
        mistake: made after drawing.
        drawn_from: [P, V] the laws they were really drawn from; None where those are ``drafts``.
    """
    pruned = mistake == "pruned"
    found: dict[int, list[tuple[int, tuple[int, ...], float]]] = {}  # by number of children
    sources = drafts if drawn_from is None else drawn_from
    for pair, draft in enumerate(sources.tolist()):
        for family, chance in families(draft, draw, children + pruned):
            judged = _spoiled(family, draft, mistake) if mistake else family
            found.setdefault(len(judged), []).append((pair, judged, chance))
    laws, accepted = torch.zeros_like(targets), torch.zeros_like(targets[:, 0])
    for rows in found.values():
        at = torch.tensor([pair for pair, _, _ in rows])
        weight = torch.tensor([chance for _, _, chance in rows], dtype=targets.dtype)
        tokens = torch.tensor([family for _, family, _ in rows])
        law, some = _next_law(rule, targets[at], drafts[at], tokens)
        laws.index_add_(0, at, law * weight[:, None])
        accepted.index_add_(0, at, some * weight)
    return Outputs(laws, accepted)


def families(
    draft: Sequence[float], draw: Draw, children: int
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield every family that may be chosen, in draw order, and how likely it is."""
    if draw == "deterministic":
        ranked = sorted((t for t, mass in enumerate(draft) if mass), key=lambda t: -draft[t])
        yield tuple(ranked[:children]), 1.0
        return

    def more(chosen: tuple[int, ...], chance: float) -> Iterator[tuple[tuple[int, ...], float]]:
        out = chosen if draw == "without_replacement" else ()
        left = {t: mass for t, mass in enumerate(draft) if mass and t not in out}
        if len(chosen) == children or not left:
            yield chosen, chance
            return
        total = sum(left.values())
        for token, mass in left.items():
            yield from more((*chosen, token), chance * mass / total)

    yield from more((), 1.0)


def _spoiled(family: tuple[int, ...], draft: list[float], mistake: Mistake) -> tuple[int, ...]:
    liked = sorted(family, key=lambda token: -draft[token])
    if mistake == "reordered":
        return tuple(liked)
    return tuple(token for token in family if token != liked[-1]) or family


def _next_law(
    rule: Rule, targets: Tensor, drafts: Tensor, children: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the law of the next token [F, V], and how likely one of the children [F, k] is it."""
    law = torch.zeros_like(targets)
    missed = torch.ones_like(targets[:, 0])  # chance that every child so far failed
    best = torch.zeros_like(missed)
    for token, test in zip(
        [*children.unbind(-1), None], rule.trials(targets, drafts, children), strict=True
    ):
        if isinstance(test, Rest):
            return law + missed[:, None] * test.law, 1 - missed
        assert token is not None
        taken = missed * test.accept
        if rule.longest:  # of the children that pass, all equally deep, the likeliest
            better = (test.accept > 0) & (test.target > best)
            best, taken = best.where(~better, test.target), better.to(law.dtype)
            law = law * (1 - taken)[:, None]
            missed = missed * (1 - taken)
        else:
            missed = missed - taken
        law.scatter_add_(-1, token[:, None], taken[:, None])
    raise AssertionError(f"{rule.slug} says nothing of what follows")


Conditional = Callable[[tuple[int, ...]], Tensor]
"""From the tokens after the root to the law [V] of the next one."""


def text_law(rule: Rule, tree: TokenTree, target: Conditional, length: int) -> Tensor:
    """Return the joint law [V] * length of the next tokens, given a tree.

    Where the walk of this tree ends sooner the rest is the target's, as if of an exact next round.

    Args:
        rule: takes the first child that passes.
        tree: with the laws that children were drawn from.
        target: float64.
        length: tokens.
    """
    assert not rule.longest
    law = torch.zeros((len(target(())),) * length, dtype=torch.float64)
    below = tree.families()

    def spread(text: tuple[int, ...], chance: float) -> None:
        if len(text) == length:
            law[text] += chance
            return
        for token, share in enumerate(target(text).tolist()):
            if chance * share:
                spread((*text, token), chance * share)

    def visit(node: int, text: tuple[int, ...], chance: float) -> None:
        if len(text) == length or not below[node]:
            spread(text, chance)
            return
        tokens = [tree.tokens[child] for child in below[node]]
        draft = tree.laws.get(node)
        tests = rule.trials(
            target(text)[None], None if draft is None else draft[None], torch.tensor([tokens])
        )
        for child, token, test in zip(below[node], tokens, tests, strict=False):
            assert isinstance(test, Trials)
            accept = float(test.accept)
            visit(child, (*text, token), chance * accept)
            chance *= 1 - accept
        rest = next(tests)
        assert isinstance(rest, Rest)
        for token, share in enumerate(rest.law[0].tolist()):
            spread((*text, token), chance * share)

    visit(ROOT, (), 1.0)
    return law


def heap_trees(draft: Conditional, budget: int) -> Iterator[tuple[TokenTree, float]]:
    """Yield every tree that DySpec's heap may draw, and how likely it is.

    The place expected to be worth most is drawn next: a first child of the newest node, or one more
    sibling of it from what its parent's law has left. A node's value is what its place was worth,
    times its probability.

    Paper: Xiong et al., 2024, arXiv:2410.11744.

    Args:
        draft: float64.
        budget: nodes beside the root.
    """

    def grown(
        tree: TokenTree, texts: list[tuple[int, ...]], places: list[tuple[float, int, Tensor]]
    ) -> Iterator[tuple[TokenTree, float]]:
        if len(tree) > budget or not places:
            yield tree, 1.0
            return
        best = max(range(len(places)), key=lambda place: places[place][0])
        worth, parent, left = places[best]
        others = places[:best] + places[best + 1 :]
        for token, share in enumerate(left.tolist()):
            if not share:
                continue
            wider = TokenTree(tree.tokens[:], tree.parents[:], dict(tree.laws), tree.values[:])
            wider.sources = tree.sources[:]
            node = wider.add(parent, token, worth * share)
            text = (*texts[parent], token)
            wider.laws[node] = draft(text)
            then = [*others, (worth * share, node, wider.laws[node])]
            rest = left.clone()
            rest[token] = 0
            if (mass := float(rest.sum())) > 0:
                then.append((worth * (1 - share), parent, rest / mass))
            for full, chance in grown(wider, [*texts, text], then):
                yield full, chance * share

    start = TokenTree.of(0)
    start.laws[ROOT] = draft(())
    yield from grown(start, [()], [(1.0, ROOT, start.laws[ROOT])])
