"""Many reduced models read at once: those that begin alike share the layers that they share."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.reduction.stepper import Stepper

COPIES_TOKENS = 4096
"""Tokens of all copies of a text that are read at once."""

Integers = NDArray[np.int64]
Step = Callable[[int, Tensor, Integers], Tensor]
"""Returns what leaves a layer for each of N copies, by its number, what enters it [N, T, D], and
what is chosen for each copy [N]."""


def grouped(layers: int, groups: int) -> Integers:
    """Return [L] the group of each layer: neighbours, in at most so many groups of about a size."""
    parts = np.array_split(np.arange(layers), min(groups, layers))
    return np.concatenate([np.full(len(part), number) for number, part in enumerate(parts)])


def every_pattern(groups: Integers, choices: int) -> Integers:
    """Return [N, L] every choice by layer, the same for all layers of a group."""
    count = int(groups.max()) + 1
    grid = np.indices([choices] * count).reshape(count, -1).T
    found: Integers = grid[:, groups].astype(np.int64)
    return found


def read_patterns(text: Stepper, patterns: Integers, step: Step) -> NDArray[np.float64]:
    """Return [N, T - 1] the surprisal of each token but the first under each pattern.

    Args:
        patterns: [N, L] what is chosen in each layer.
        step: computes a layer for several copies, each with its own choice.
    """
    found = np.empty((len(patterns), len(text.ids) - 1))
    order = np.lexsort(patterns.T[::-1])
    size = max(1, COPIES_TOKENS // len(text.ids))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        states, inside = text.states, np.zeros(len(rows), np.int64)
        for layer in range(patterns.shape[1]):
            alike = np.stack([inside, patterns[rows, layer]], 1)
            each, inside = np.unique(alike, axis=0, return_inverse=True)
            inside = inside.ravel()
            states = step(layer, states[each[:, 0]], each[:, 1])
        found[rows] = text.token_nats(states)[inside]
    return found


def shared_readings(patterns: Integers) -> float:
    """Return about how many whole readings of a text the layers are that patterns do not share."""
    layers = patterns.shape[1]
    nodes = [len(np.unique(patterns[:, : layer + 1], axis=0)) for layer in range(layers)]
    return float(sum(nodes) / layers)


def by_choice(ways: Sequence[Callable[[int, Tensor], Tensor]]) -> Step:
    """Return a step that hands each copy to the way that is chosen for it."""

    def step(layer: int, states: Tensor, chosen: Integers) -> Tensor:
        left = states.clone()
        for number, way in enumerate(ways):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                left[rows] = way(layer, states[rows])
        return left

    return step
