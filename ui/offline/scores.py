"""Scores of every KV head at every recorded choice, offline.

A run has thousands of them: the figure is drawn once, and of the others the file has the numbers.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tokenarium.backend import CacheResult, PolicyRun
from tokenarium.ui.components.plot import array
from tokenarium.ui.figures.eviction import scores, scores_label
from tokenarium.ui.offline.part import Change, Key, Part, figure_part
from tokenarium.ui.panels.cache.held import FIGURES

BY = ("policy", "layer", "head", "step")


def scores_part(result: CacheResult, places: Sequence[tuple[int, int]]) -> Part:
    """Return the figure with what changes at every recorded choice in the given heads."""
    inside, known = set(places), result.score_at
    order = [row for row in range(len(known)) if tuple(known[row, 2:].tolist()) in inside]
    told = FIGURES["cache_scores"]
    # Drawn once with the line of the score by chance, which the others may lack.
    by_chance = [np.isfinite(noise).any() for noise in result.noise_pooled] if len(known) else []
    with_noise = sorted(order, key=lambda row: not by_chance[row])
    if not order:
        return figure_part("cache_scores", *told, None)
    number, step, layer, head = known[with_noise[0]].tolist()
    part = figure_part("cache_scores", *told, scores(result.runs[number], step, layer, head), BY)
    lines = len(part.value["data"])
    changes: dict[Key, list[Change]] = {}
    for number, step, layer, head in known[order].tolist():
        run = result.runs[number]
        changes[run.policy, layer, head, step] = list(_changes(run, step, layer, head, lines))
    return Part(part.name, part.component, part.template, part.value, BY, changes, text=True)


def _changes(run: PolicyRun, step: int, layer: int, head: int, lines: int) -> Iterator[Change]:
    found = run.score(step, layer, head)
    assert found is not None
    yield [["data", 0, "y"], array(found.pooled)]
    yield [["data", 1, "x"], array(found.positions)]
    yield [["data", 1, "y"], array(found.near)]
    if lines > 2 and np.isfinite(found.noise_pooled).any():
        yield [["data", 2, "y"], array(found.noise_pooled)]
    elif lines > 2:
        yield [["data", 2, "visible"], False]
    for end in ("y0", "y1"):
        yield [["layout", "shapes", 0, end], found.threshold]
    meta: dict[str, Any] = scores_label(run, found.step, layer, head)
    for name, said in meta.items():
        yield [["layout", "meta", name], said]
