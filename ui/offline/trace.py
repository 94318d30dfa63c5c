"""A trace offline: strip, card, and every head's map and received attention."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import Run, TraceResult
from tokenarium.ui.components import strip
from tokenarium.ui.components.colouring import COLOURINGS
from tokenarium.ui.components.plot import array, stepped
from tokenarium.ui.components.token_card import head_rows, token_card
from tokenarium.ui.figures.attention import attention_map, top
from tokenarium.ui.figures.heads import METRICS, head_grid
from tokenarium.ui.figures.lines import received
from tokenarium.ui.offline.part import (
    Change,
    Key,
    Part,
    as_value,
    every,
    figure_part,
    renamed,
)
from tokenarium.ui.shell.selection import Chosen, Selection
from tokenarium.ui.why.number import unmarked

Place = tuple[int, int]
View = Callable[[], list[Part]]
PLACE = ("layer", "head")


def state(run: Run, layers: Sequence[int]) -> dict[str, Any]:
    """Return where the page begins: at the first token and the strongest sink."""
    result = _result(run)
    chosen = _first(run, layers)
    sizes = {"tokens": result.length, "layers": result.layers, "heads": result.heads}
    return {"token": 0, "layer": chosen.layer, "head": chosen.head, **sizes}


def views(run: Run, layers: Sequence[int]) -> Mapping[str, View]:
    """Return the views of a trace by name.

    Args:
        run: a trace.
        layers: whose heads are in the file.
    """
    result = _result(run)
    chosen, places = _first(run, layers), list(product(layers, range(result.heads)))
    return {
        "strip": partial(_strip, result, chosen, places),
        "card": partial(_card, result, chosen, places),
        "heads": partial(_heads, result),
        "attention": partial(_attention, result, chosen, places),
        "received": partial(_received, result, chosen, places),
    }


def _result(run: Run) -> TraceResult:
    assert isinstance(run.result, TraceResult)
    return run.result


def _first(run: Run, layers: Sequence[int]) -> Chosen:
    chosen = Selection(run=run.id).within(_result(run))
    return chosen if chosen.layer in layers else replace(chosen, layer=layers[0], head=0)


def _strip(result: TraceResult, chosen: Chosen, places: list[Place]) -> list[Part]:
    value = strip.strip_value(result, chosen)
    for name in COLOURINGS:
        patch = strip.strip_patch(result, replace(chosen, metric=name))["patch"]
        value["metrics"][name] = patch[name]
    of_head = {name for name, colouring in COLOURINGS.items() if colouring.of_head}
    changes: dict[Key, list[Change]] = {}
    for layer, head in places:
        now = replace(chosen, layer=layer, head=head)
        own = {
            name: strip.strip_patch(result, replace(now, metric=name))["patch"][name]
            for name in of_head
        }
        changes[layer, head] = [[[], {"patch": own}]]
    return [Part("strip", "strip", strip.TEMPLATE, value, PLACE, changes)]


def _card(result: TraceResult, chosen: Chosen, places: list[Place]) -> list[Part]:
    value = {
        "cards": [_plain_card(result, chosen, t) for t in range(result.length)],
        "rows": {
            f"{layer},{head}": [row.texts() for row in head_rows(result, layer, head)]
            for layer, head in places
        },
    }
    return [Part("card", "offlineCard", '<div class="tk-card-host"></div>', value)]


def _plain_card(result: TraceResult, chosen: Chosen, token: int) -> str:
    return unmarked(token_card(result, replace(chosen, run=None, token=token)))


def _heads(result: TraceResult) -> list[Part]:
    title = f"Heads: {METRICS['sink'].title}"
    told = "Every head of the model. Click one to open its map."
    return [figure_part("grid", title, told, head_grid(result, "sink"))]


def _attention(result: TraceResult, chosen: Chosen, places: list[Place]) -> list[Part]:
    first = attention_map(result, chosen.layer, chosen.head)
    told = "Who looks (rows) at whom (columns)."
    part = figure_part("map", "Attention map", told, first, PLACE)
    known, old = part.value, f"layer {chosen.layer}, head {chosen.head}"
    changes: dict[Key, list[Change]] = {}
    for layer, head in places:
        tiles = result.attention_tiles_mean[layer, head]
        new = renamed(known, old, f"layer {layer}, head {head}")
        changes[layer, head] = [*_cells(known, tiles), [["data", 0, "zmax"], top(tiles)], *new]
    return [replace(part, changes=changes)]


def _cells(known: dict[str, Any], tiles: NDArray[np.float32]) -> list[Change]:
    """Return what changes with the cells of a map, packed as those of the first."""
    at: list[str | int] = ["data", 0, "z"]
    if "steps" not in known["layout"]["meta"]:
        return [[at, array(tiles)]]
    places, steps = stepped(tiles.astype(np.float64))
    return [[at, array(places)], [["layout", "meta", "steps"], steps]]


def _received(result: TraceResult, chosen: Chosen, places: list[Place]) -> list[Part]:
    first = received(result, chosen.layer, chosen.head)
    told = "Mean attention each token receives from the tokens after it; log scale."
    part = figure_part("received", "Who is attended to", told, first, PLACE)
    changes = every(places, lambda *place: as_value(received(result, *place)), part.value)
    return [replace(part, changes=changes)]
