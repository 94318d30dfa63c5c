"""How trees grow from a model that guesses: node after node, or level after level."""

from collections.abc import Sequence

from tokenarium.backend.speculation.drafting import Drafting
from tokenarium.backend.speculation.shape import cut_to_depth
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree


def chain(drafting: Drafting, source: str, stop_below: float = 0.0) -> TokenTree:
    """Return one guess after another, each from the draft's law after the one before.

    Args:
        drafting: the run.
        source: of the tokens.
        stop_below: end the chain with a token that was less probable than this. The token stays:
            to leave out what was drawn for what it is would bias the output.
    """
    tree = drafting.tree()
    node = ROOT
    for _ in range(min(drafting.draft_len, drafting.tree_budget)):
        law = drafting.law(tree, [node])
        [[token]] = drafting.pick(law, [1], "iid")
        tree.laws[node] = law[0]
        probability = float(law[0, token])
        node = tree.add(node, token, tree.values[node] * probability, source)
        if probability < stop_below:
            break
    return tree


def by_levels(drafting: Drafting, shape: Sequence[int], how: Draw, source: str) -> TokenTree:
    """Return a tree of a given shape, each level read in one pass.

    A node whose law has too few tokens gets fewer children, and a token that the same parent drew
    before gets none: rules accept the first of equals as a rule. A node's value is the product of
    the draft's probabilities on its path.

    Args:
        drafting: the run.
        shape: [N] parents by node, the root's -1 first, siblings in draw order; cut to the depth
            that is left.
        how: children are chosen.
        source: of the tokens.
    """
    shape = cut_to_depth(shape, drafting.draft_len)
    places: list[list[int]] = [[] for _ in shape]
    for place, parent in enumerate(shape):
        if parent >= 0:
            places[parent].append(place)
    tree, level = drafting.tree(), [(ROOT, 0)]
    while level := [(node, place) for node, place in level if places[place]]:
        nodes = [node for node, _ in level]
        laws = drafting.law(tree, nodes)
        chosen = drafting.pick(laws, [len(places[place]) for _, place in level], how)
        below = []
        for (node, place), law, tokens in zip(level, laws, chosen, strict=True):
            tree.laws[node] = law
            seen = set[int]()
            for token, probability, under in zip(
                tokens, law[tokens].tolist(), places[place], strict=False
            ):
                child = tree.add(node, token, tree.values[node] * probability, source)
                if token not in seen:
                    below.append((child, under))
                seen.add(token)
        level = below
    return tree
