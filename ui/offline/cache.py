"""A run under policies, offline: lanes, what every head holds, and its scores, by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from tokenarium.backend import CacheResult, Run
from tokenarium.ui.components import place, token_rows
from tokenarium.ui.components.cache_table import cache_table
from tokenarium.ui.figures import eviction
from tokenarium.ui.offline.part import Part, as_value, every, figure_part, html_part, with_map
from tokenarium.ui.offline.scores import scores_part
from tokenarium.ui.panels.cache.costs import FIGURES as COSTS
from tokenarium.ui.panels.cache.held import FIGURES as HEADS
from tokenarium.ui.panels.cache.lanes import lane
from tokenarium.ui.panels.cache.scene import CacheScene, protected
from tokenarium.ui.shell.selection import Chosen

PLACE = ("layer", "head")
DRAWN = {
    "cache_bytes": eviction.bytes_line,
    "cache_time": eviction.time_line,
    "cache_kl": eviction.cost_line,
    "cache_lost": eviction.lost_line,
}


def state(run: Run, layers: Sequence[int]) -> dict[str, Any]:
    """Return where the page begins: at the last policy, right after the prompt."""
    result = _result(run)
    sizes = {"layers": result.evicted_at.shape[1], "heads": result.evicted_at.shape[2]}
    steps = max((each.steps for each in result.runs), default=1)
    first = {"step": 0, "layer": layers[0], "head": 0, "policy": result.policies[-1]}
    return {**first, **sizes, "steps": max(1, steps)}


def views(run: Run, layers: Sequence[int]) -> Mapping[str, Callable[[], list[Part]]]:
    """Return the views of a run by name.

    Args:
        run: under policies.
        layers: whose heads are in the file.
    """
    places = list(product(layers, range(_result(run).evicted_at.shape[2])))
    return {
        "lanes": partial(_lanes, run, places),
        "table": partial(_table, run),
        "held": partial(_held, run, places),
        "costs": partial(_costs, run),
    }


def _result(run: Run) -> CacheResult:
    assert isinstance(run.result, CacheResult)
    return run.result


def _scene(run: Run, layer: int, head: int) -> CacheScene:
    chosen = Chosen(run.id, layer=layer, head=head)
    return CacheScene(_result(run), run.request, chosen, {}, "", None, (run,))  # type: ignore[arg-type]


def _lanes(run: Run, places: Sequence[tuple[int, int]]) -> list[Part]:
    result = _result(run)

    def value(layer: int, head: int) -> dict[str, Any]:
        scene = _scene(run, layer, head)
        return token_rows.lanes_value(result.prompt_text, [lane(scene, r) for r in result.runs])

    first = value(*places[0])
    template = token_rows.TEMPLATE
    return [Part("lanes", "lanes", template, first, PLACE, every(places, value, first))]


def _table(run: Run) -> list[Part]:
    result = _result(run)
    layers, heads = result.evicted_at.shape[1:3]
    bar = place.place_value(list(zip(result.titles, result.policies, strict=True)), layers, heads)
    host = '<div class="tk-place-bar"></div>'
    return [html_part("cache-table", cache_table(result)), Part("place", "placeBar", host, bar)]


def _held(run: Run, places: Sequence[tuple[int, int]]) -> list[Part]:
    """Return map and scores of every KV head under every policy."""
    result = _result(run)
    policies = {each.policy: each for each in result.runs}

    whole: dict[str, dict[str, Any]] = {}

    def drawn(policy: str, layer: int, head: int) -> dict[str, Any]:
        found = policies[policy]
        own = protected(_scene(run, layer, head), found)
        if policy not in whole:  # drawn once; of its other heads only the cells are made
            whole[policy] = as_value(eviction.held_map(found, own, layer, head))
            return whole[policy]
        _, values, names = eviction.held_cells(found, own, layer, head)
        label = eviction.held_label(found, layer, head)
        return with_map(whole[policy], values, names, label)

    every_head = [(policy, *at) for policy in policies for at in places]
    first = drawn(*every_head[-len(places)])
    part = figure_part("cache_map", *HEADS["cache_map"], None, ("policy", *PLACE))
    held = replace(part, value=first, changes=every(every_head, drawn, first))
    return [held, scores_part(result, places)]


def _costs(run: Run) -> list[Part]:
    return [figure_part(name, *COSTS[name], DRAWN[name](_result(run))) for name in DRAWN]
