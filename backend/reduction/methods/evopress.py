"""Which attentions and MLPs to leave out, by an evolutionary search."""

from collections.abc import Callable, Mapping
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.reduction.bench import Bench
    from tokenarium.backend.reduction.stepper import Stepper

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Fitness = Callable[[Integers], Floats]
ATTENTION, MLP = 1, 2
MOST_MODELS = 2000
"""Up to so many models, all of them are read too."""
DRAWN = 6
MOST_MUTATIONS = 3
SHORT = 4
"""Offspring are first judged on one in so many of the calibration tokens."""
FOUND, BEST = "evolutionary search", "best on this text"
SINGLE, UPPER, RANDOM = "least single errors", "the upper layers left out", "at random"


class EvoPress(Reduction):
    """Models [N, L]: of each layer 0 all, 1 without attention, 2 without MLP, 3 without both."""

    slug: ClassVar[str] = "evopress"
    title: ClassVar[str] = "Blocks left out (EvoPress)"
    explanation: ClassVar[str] = (
        "Searches which attentions and MLPs to leave out by mutation and selection: the best model "
        "so far swaps blocks it lacks for others, and what reads a calibration text best stays."
    )
    paper: ClassVar[str] = "Sieberling et al., 2024, arXiv:2410.14649"
    differs: ClassVar[str] = (
        "fitness is the loss on the calibration text, not the divergence from the whole model; "
        "as many attentions as MLPs are left out; two stages of selection; no other compression"
    )
    cost_title: ClassVar[str] = "the layers' multiplications"
    exact: ClassVar[str] = BEST
    series: ClassVar[Mapping[str, str]] = {
        FOUND: "What the search found on the calibration text.",
        BEST: "Of all models that lack as many, the one that reads the held-out text itself best.",
        SINGLE: "Without the blocks that cost the calibration text least when one alone is left "
        "out: what is best if errors add up.",
        UPPER: "Without the uppermost attentions and MLPs but those of the last layer.",
        RANDOM: f"The mean over {DRAWN} models that lack as many, drawn at random.",
    }
    dropped: float = Field(
        0.25,
        gt=0.0,
        le=0.75,
        title="Share left out",
        description="Share of the attentions, and of the MLPs, that are left out.",
    )
    offspring: int = Field(
        8, ge=2, le=64, description="Changed copies of the best model in each generation."
    )
    generations: int = Field(
        10, ge=1, le=200, description="Generations of the search, for each count of blocks."
    )

    def readings(self, layers: int) -> float:
        """Return those of the search, of single errors, and of every model where they are few."""
        found = 3.0 + layers
        for count in self._counts(layers):
            later = self.generations * self.offspring * 1.5  # half of them on the whole text too
            found += self.offspring + later + DRAWN + 4
            number = comb(layers, count) ** 2
            found += 2 * number if number <= MOST_MODELS else 0
        return found

    def _counts(self, layers: int) -> list[int]:
        """Return how many of each kind are left out: half of the share, and all of it."""
        most = max(1, round(self.dropped * layers))
        return sorted({max(1, most // 2), most})

    def reduce(self, bench: "Bench") -> Reduced:
        """Return what the search found, what is best, and what simpler rules leave out."""
        from tokenarium.backend.reduction.stepper import Stepper

        reader = _reader(bench)
        text = bench.calibration
        few = Stepper(bench.loaded, text.ids[: max(8, len(text.ids) // SHORT)], text.count)
        random = np.random.default_rng(bench.seed)

        full = Remembered(lambda models: reader(text, models).mean(1))
        short = Remembered(lambda models: reader(few, models).mean(1))
        single = _single_errors(bench.layers, full)
        points = [_point(bench, FOUND, reader, np.zeros((1, bench.layers), np.int64))]
        chosen, enumerated, notes = 0, 0, []
        for count in self._counts(bench.layers):
            search = Search(bench.layers, count, random, self.offspring)
            before = len({*full.known, *short.known})
            best = search.run(self.generations, short, full)
            tried = len({*full.known, *short.known}) - before
            chosen = len(points)
            points.append(_point(bench, FOUND, reader, best[None]))
            number = comb(bench.layers, count) ** 2
            beaten = ""
            if number <= MOST_MODELS:
                models = every_model(bench.layers, count)
                nats = reader(bench.held_out, models)
                points.append(_point(bench, BEST, reader, models[[nats.mean(1).argmin()]]))
                enumerated += number
                better = int((full(models) < float(full(best[None])[0])).sum())
                beaten = f"; {better:,} of all read the calibration text better than what it found"
            points += [
                _point(bench, SINGLE, reader, by_score(single, count)[None]),
                _point(bench, UPPER, reader, _upper(bench.layers, count)[None]),
                _point(bench, RANDOM, reader, np.stack([search.drawn() for _ in range(DRAWN)])),
            ]
            notes.append(
                f"{2 * count} of {2 * bench.layers} blocks left out: the search read {tried} of "
                f"{number:,} models{beaten}"
            )
        beside = tuple(range(chosen + 1, len(points)))
        return Reduced(tuple(points), chosen, beside, enumerated, tuple(notes))


class Remembered:
    """A fitness [N] of models [N, L] that reads no model twice."""

    def __init__(self, fitness: Fitness) -> None:
        self._fitness = fitness
        self.known: dict[tuple[int, ...], float] = {}
        """By model."""

    def __call__(self, models: Integers) -> Floats:
        """Return the fitness of each, the lower the better."""
        named = [tuple(model) for model in models.tolist()]
        new = [key for key in dict.fromkeys(named) if key not in self.known]
        if new:
            self.known |= zip(new, self._fitness(np.array(new)).tolist(), strict=True)
        return np.array([self.known[key] for key in named])


class Search:
    """One parent, its changed copies, and the best of all as the next parent."""

    def __init__(
        self, layers: int, count: int, random: np.random.Generator, offspring: int
    ) -> None:
        self._layers, self._count, self._random = layers, count, random
        self._offspring = offspring

    def drawn(self) -> Integers:
        """Return a model that lacks blocks at random."""
        model = np.zeros(self._layers, np.int64)
        for kind in (ATTENTION, MLP):
            model[self._random.permutation(self._layers)[: self._count]] += kind
        return model

    def run(self, generations: int, short: Fitness, full: Fitness) -> Integers:
        """Return the best model that was found."""
        first = np.unique([self.drawn() for _ in range(self._offspring)], axis=0)
        losses = full(first)
        parent, loss = first[losses.argmin()], losses.min()
        for _ in range(generations):
            children = [self._mutated(parent) for _ in range(self._offspring)]
            alive = np.unique(children, axis=0)
            alive = alive[(alive != parent).any(1)]
            if not len(alive):
                continue
            order = np.argsort(short(alive), kind="stable")
            alive = alive[order[: max(1, self._offspring // 2)]]
            losses = full(alive)
            if losses.min() < loss:
                parent, loss = alive[losses.argmin()], losses.min()
        best: Integers = parent
        return best

    def _mutated(self, parent: Integers) -> Integers:
        """Return a copy in which a few blocks that are left out are swapped for others."""
        model = parent.copy()
        most = 1 + MOST_MUTATIONS
        for _ in range(min(self._random.integers(1, most, 2))):
            kind = self._random.choice([ATTENTION, MLP])
            gone = np.flatnonzero(model & kind)
            there = np.flatnonzero(~model & kind)
            model[self._random.choice(gone)] -= kind
            model[self._random.choice(there)] += kind
        return model


def every_model(layers: int, count: int) -> Integers:
    """Return [N, L] every model that lacks so many attentions and so many MLPs."""
    found = []
    for attentions in combinations(range(layers), count):
        for mlps in combinations(range(layers), count):
            model = np.zeros(layers, np.int64)
            model[list(attentions)] += ATTENTION
            model[list(mlps)] += MLP
            found.append(model)
    return np.stack(found)


def by_score(score: Floats, count: int) -> Integers:
    """Return the model that lacks the blocks with the lowest scores [L, 2] of each kind."""
    model = np.zeros(len(score), np.int64)
    for column, kind in enumerate((ATTENTION, MLP)):
        model[np.argsort(score[:, column], kind="stable")[:count]] += kind
    return model


def _upper(layers: int, count: int) -> Integers:
    """Return the model without the upper blocks; the last layer stays."""
    stop = layers - 1 if layers > count else layers
    model = np.zeros(layers, np.int64)
    model[stop - count : stop] = ATTENTION + MLP
    return model


def _single_errors(layers: int, fitness: Fitness) -> Floats:
    """Return [L, 2] the loss without one attention, or without one MLP."""
    models = np.zeros((2 * layers, layers), np.int64)
    models[np.arange(layers), np.arange(layers)] = ATTENTION
    models[layers + np.arange(layers), np.arange(layers)] = MLP
    return fitness(models).reshape(2, layers).T


def _reader(bench: "Bench") -> "Callable[[Stepper, Integers], Floats]":
    """Return what reads a text with blocks left out, [N, T - 1] of models [N, L]."""
    import torch

    from tokenarium.backend.observe.writers import writers
    from tokenarium.backend.reduction.bench import hooked
    from tokenarium.backend.reduction.patterns import by_choice, read_patterns

    chosen = writers(bench.loaded, bench.calibration.ids)

    def nothing(_: object, __: object, given: object) -> object:
        if isinstance(given, torch.Tensor):
            return torch.zeros_like(given)
        assert isinstance(given, tuple)
        return torch.zeros_like(given[0]), *given[1:]

    def read(text: "Stepper", models: Integers) -> Floats:
        def without(part: str) -> "Callable[[int, Tensor], Tensor]":
            def way(layer: int, states: "Tensor") -> "Tensor":
                with hooked([getattr(chosen[layer], part)], [nothing]):
                    return text.layer(layer, states)

            return way

        ways = [text.layer, without("attention"), without("mlp"), lambda _, states: states]
        return read_patterns(text, models, by_choice(ways))

    return read


def _point(
    bench: "Bench", name: str, reader: "Callable[[Stepper, Integers], Floats]", models: Integers
) -> Point:
    """Return the mean over models of what they lose on the held-out text."""
    kept = np.stack([(models & kind) == 0 for kind in (ATTENTION, MLP)], -1).mean(0)
    cost = float((kept * bench.arithmetic).sum())
    gone = int((models[0] > 0).sum())
    lacking = int(((models[0] & ATTENTION) > 0).sum()) + int(((models[0] & MLP) > 0).sum())
    label = f"{lacking} of {2 * bench.layers} blocks left out, in {gone} layers"
    if len(models) > 1:
        label = f"{lacking} of {2 * bench.layers} blocks left out"
    nats = reader(bench.held_out, models).mean(0)
    return Point(name, label, cost, nats, kept, setting=lacking / (2 * bench.layers))
