"""Distributions and drafted trees drawn by Hypothesis: with zeros, ties, one-hot and disjoint."""

from collections.abc import Callable

import hypothesis.strategies as st
import torch
from torch import Tensor

from tokenarium.backend.speculation.enumeration import sibling_sets
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

DRAWS: tuple[Draw, ...] = ("deterministic", "iid", "without_replacement")


@st.composite
def distributions(draw: Callable, vocabulary: int) -> Tensor:
    """A distribution [V], float64, of small whole weights: equal and missing masses are common."""
    weights = draw(
        st.lists(st.integers(0, 3), min_size=vocabulary, max_size=vocabulary).filter(any)
    )
    probs = torch.tensor(weights, dtype=torch.float64)
    return probs / probs.sum()


@st.composite
def drafted(draw: Callable, vocabulary: int = 4) -> tuple[TokenTree, dict[int, Tensor]]:
    """A tree with draft distributions, some nodes pruned, and the target's distributions."""
    how = draw(st.sampled_from(DRAWS))
    tree, targets = TokenTree.of(0), {ROOT: draw(distributions(vocabulary))}
    for node in range(draw(st.integers(0, 5))):
        if node >= len(tree):
            break
        tree.draft_probs[node] = draw(distributions(vocabulary))
        found = list(sibling_sets(tree.draft_probs[node].tolist(), how, draw(st.integers(1, 3))))
        for token in draw(st.sampled_from(found))[0]:
            targets[tree.add(node, token)] = draw(distributions(vocabulary))
    if len(tree) > 1:
        tree.pruned = set(draw(st.lists(st.integers(1, len(tree) - 1), max_size=2)))
    return tree, targets


def uniforms(count: int) -> st.SearchStrategy[list[float]]:
    """So many numbers in [0, 1)."""
    number = st.floats(0, 1, exclude_max=True)
    return st.lists(number, min_size=count, max_size=count)
