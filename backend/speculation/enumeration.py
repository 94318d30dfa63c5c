"""Exact output distributions of rules, by enumeration of everything that can be drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.speculation.rule import AcceptanceTests, Residual, Rule
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

Mistake = Literal["pruned", "reordered"]
"""What a drafter must not do to children it drew: drop the one it likes least, or sort them."""


@dataclass(frozen=True)
class Outputs:
    """A rule's output after P nodes, over all their drafts."""

    probs: Tensor
    """[P, V] of the next token, float64."""
    accepted: Tensor
    """[P] probability that some child is accepted."""

    def distance(self, targets: Tensor) -> Tensor:
        """Return the total variation distances [P] from target distributions [P, V]."""
        return (self.probs - targets).abs().sum(-1) / 2


@dataclass(frozen=True)
class Bias:
    """How far a rule's output is from the target's distribution, over random pairs."""

    mean: float
    """Total variation distance, which is between 0 and 1."""
    largest: float
    accepted: float
    """Mean probability that some child is accepted."""
    pairs: int
    vocabulary: int
    children: int


def random_distributions(pairs: int, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return targets and drafts [P, V], float64, each uniform among all distributions."""
    probs = np.random.default_rng(seed).dirichlet(np.ones(vocabulary), (2, pairs))
    targets, drafts = torch.from_numpy(probs).unbind(0)
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
    """Return exactly how far a rule's output is from the target, for random distributions.

    Where a rule has the target read a draft twice, the second reading is random too.

    Args:
        rule: may be one that is not made for the draw.
        draw: how children are chosen.
        children: drawn per node; no more than the rule can test.
        mistake: made after drawing; a child more is drawn where one is pruned.
        pairs: of random target and draft.
        vocabulary: tokens; every draft of so many is gone through.
        seed: of the distributions.
    """
    children = min(children, rule.max_children or children)
    targets, drafts = random_distributions(pairs, vocabulary, seed)
    again, _ = random_distributions(pairs, vocabulary, seed + 1)
    tested = rule.of_readings(targets, again)
    found = outputs(rule, tested, drafts, draw, children, mistake)
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
    """Return the distribution of the token that follows each of P nodes.

    Args:
        rule: tests the children.
        targets: [P, V] float64.
        drafts: [P, V] the distributions that the rule takes the children to be drawn from.
        draw: how they are chosen.
        children: drawn per node; fewer where fewer tokens have mass.
        mistake: made after drawing.
        drawn_from: [P, V] the distributions they are really drawn from; None for ``drafts``.
    """
    pruned = mistake == "pruned"
    found: dict[int, list[tuple[int, tuple[int, ...], float]]] = {}  # by number of children
    sources = drafts if drawn_from is None else drawn_from
    for pair, draft in enumerate(sources.tolist()):
        for drawn, chance in sibling_sets(draft, draw, children + pruned):
            tested = _spoiled(drawn, draft, mistake) if mistake else drawn
            found.setdefault(len(tested), []).append((pair, tested, chance))
    probs, accepted = torch.zeros_like(targets), torch.zeros_like(targets[:, 0])
    for rows in found.values():
        at = torch.tensor([pair for pair, _, _ in rows])
        weight = torch.tensor([chance for _, _, chance in rows], dtype=targets.dtype)
        tokens = torch.tensor([siblings for _, siblings, _ in rows])
        following, some = _next_distribution(rule, targets[at], drafts[at], tokens)
        probs.index_add_(0, at, following * weight[:, None])
        accepted.index_add_(0, at, some * weight)
    return Outputs(probs, accepted)


def sibling_sets(
    draft: Sequence[float], draw: Draw, children: int
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield all siblings that may be drawn, in draw order, and how likely they are."""
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


def _spoiled(drawn: tuple[int, ...], draft: list[float], mistake: Mistake) -> tuple[int, ...]:
    likeliest_first = sorted(drawn, key=lambda token: -draft[token])
    if mistake == "reordered":
        return tuple(likeliest_first)
    return tuple(token for token in drawn if token != likeliest_first[-1]) or drawn


def _next_distribution(
    rule: Rule, targets: Tensor, drafts: Tensor, children: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the next token's distribution [F, V], and how likely one of the children [F, k] is."""
    probs = torch.zeros_like(targets)
    missed = torch.ones_like(targets[:, 0])  # probability that every child so far failed
    best = torch.zeros_like(missed)
    for token, test in zip(
        [*children.unbind(-1), None], rule.acceptance_tests(targets, drafts, children), strict=True
    ):
        if isinstance(test, Residual):
            return probs + missed[:, None] * test.probs, 1 - missed
        assert token is not None
        taken = missed * test.accept_prob
        if rule.longest_path:  # of the children that pass, all equally deep, the likeliest
            better = (test.accept_prob > 0) & (test.target_prob > best)
            best = best.where(~better, test.target_prob)
            taken = better.to(probs.dtype)
            probs = probs * (1 - taken)[:, None]
            missed = missed * (1 - taken)
        else:
            missed = missed - taken
        probs.scatter_add_(-1, token[:, None], taken[:, None])
    raise AssertionError(f"{rule.slug} yields no residual")


Conditional = Callable[[tuple[int, ...]], Tensor]
"""From the tokens after the root to the distribution [V] of the next one."""


def joint_distribution(rule: Rule, tree: TokenTree, target: Conditional, length: int) -> Tensor:
    """Return the joint distribution [V] * length of the next tokens, given a tree.

    Where verification of this tree ends sooner the rest is the target's, as if of an exact next
    round.

    Args:
        rule: accepts the first child that passes.
        tree: with the distributions that children were drawn from.
        target: float64.
        length: tokens.
    """
    assert not rule.longest_path
    probs = torch.zeros((len(target(())),) * length, dtype=torch.float64)
    below = tree.children_by_node()

    def spread(text: tuple[int, ...], chance: float) -> None:
        if len(text) == length:
            probs[text] += chance
            return
        for token, share in enumerate(target(text).tolist()):
            if chance * share:
                spread((*text, token), chance * share)

    def visit(node: int, text: tuple[int, ...], chance: float) -> None:
        if len(text) == length or not below[node]:
            spread(text, chance)
            return
        tokens = [tree.tokens[child] for child in below[node]]
        draft = tree.draft_probs.get(node)
        tests = rule.acceptance_tests(
            target(text)[None], None if draft is None else draft[None], torch.tensor([tokens])
        )
        for child, token, test in zip(below[node], tokens, tests, strict=False):
            assert isinstance(test, AcceptanceTests)
            accept = float(test.accept_prob)
            visit(child, (*text, token), chance * accept)
            chance *= 1 - accept
        rest = next(tests)
        assert isinstance(rest, Residual)
        for token, share in enumerate(rest.probs[0].tolist()):
            spread((*text, token), chance * share)

    visit(ROOT, (), 1.0)
    return probs


def heap_trees(draft: Conditional, budget: int) -> Iterator[tuple[TokenTree, float]]:
    """Yield every tree that DySpec's heap may draw, and how likely it is.

    The place expected to be worth most is drawn next: a first child of the newest node, or one more
    sibling of it from what is left of its parent's distribution. A node's value is what its place
    was worth, times its probability.

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
            wider = TokenTree(
                tree.tokens[:], tree.parents[:], dict(tree.draft_probs), tree.values[:]
            )
            wider.sources = tree.sources[:]
            node = wider.add(parent, token, worth * share)
            text = (*texts[parent], token)
            wider.draft_probs[node] = draft(text)
            then = [*others, (worth * share, node, wider.draft_probs[node])]
            rest = left.clone()
            rest[token] = 0
            if (mass := float(rest.sum())) > 0:
                then.append((worth * (1 - share), parent, rest / mass))
            for full, chance in grown(wider, [*texts, text], then):
                yield full, chance * share

    start = TokenTree.of(0)
    start.draft_probs[ROOT] = draft(())
    yield from grown(start, [()], [(1.0, ROOT, start.draft_probs[ROOT])])
