"""What the browser is sent of a comparison: texts, numbers, figures, table, sentence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import MEASURES, Lab, RunComparison
from tokenarium.ui.characters import displayed
from tokenarium.ui.compare.numbers import value_source
from tokenarium.ui.compare.words import number, sentence
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.components.table import Cell, Column, Link, Number, table_html
from tokenarium.ui.figures.beside import SELECTS
from tokenarium.ui.figures.picture import credit_of
from tokenarium.ui.figures.style import caption, opening
from tokenarium.ui.shell.stored import stored_runs
from tokenarium.ui.text import one_line
from tokenarium.ui.why.answer import estimates
from tokenarium.ui.why.beside import of_comparison
from tokenarium.ui.why.number import of_figure, of_run, source

TEMPLATE = """<div class="tk-compare"><div class="tk-compare-said tk-part" id="compare-said"
aria-live="polite"></div><div class="tk-compare-runs tk-part"></div>
<div class="tk-compare-body"></div></div>"""
PAGES = {
    "trace": "./",
    "decode": "decode",
    "cache": "cache",
    "speculate": "speculate",
    "sweep": "cache",
}
PARAMETERS = {"sweep": "sweep"}
"""What a run is called in an address of its page, where that is not ``run``."""
MOST_TOKENS = 4096
"""Of each text, shown on the page; figures and table have them all."""
ROWS = 12
NONE = "\u2013"
SIZES = {"token": "tokens", "step": "steps", "round": "rounds", "place": "places"}
"""By part of the selection, what the browser calls how many there are."""


def answer(
    lab: Lab, ids: Sequence[str], visitor: str, measure: object, heads: object
) -> dict[str, Any]:
    """Return what is shown of these runs.

    Args:
        lab: that has them.
        ids: of 2 to 6 runs.
        visitor: private name of who asks.
        measure: of the places; the first one where there is no such.
        heads: measure of the heads; the sink score where there is no such.

    Raises:
        UserError: if they cannot be compared.
    """
    found = lab.compare(ids, visitor=visitor)
    told = shown(found, measure, heads)
    of = estimates(lab).put(of_comparison(lab, found, told["measure"]))
    return {
        **told,
        **{name: of_run(told[name], of) for name in ("sentence", "table")},
        "of": of,
        "ids": list(ids),
        "offers": offers(lab, found.kind, visitor, ids),
    }


def shown(found: RunComparison, measure: object = None, heads: object = None) -> dict[str, Any]:
    """Return what is drawn of a comparison: by which measure of places and of heads."""
    name = (
        measure
        if isinstance(measure, str) and measure in found.measures
        else next(iter(found.measures))
    )
    selects = SELECTS[found.axis]
    return {
        "sentence": sentence(found, name),
        "axis": selects,
        "size": SIZES[selects],
        "count": len(found.places),
        "lanes": [_lane(found, number) for number in range(len(found.lanes))],
        "measure": name,
        "measures": {key: [each.title, each.meaning] for key, each in found.measures.items()},
        "unit": found.measure(name).unit,
        "values": _sent(found.measure(name).values),
        "differences": _sent(found.difference(name)),
        "most": _most(found, name),
        "figures": _figures(found, name),
        "heads": _heads(found, heads),
        "table": _table(found, name, selects),
    }


def offers(lab: Lab, kind: str, visitor: str, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return label and id of stored runs that can be added: examples too, none that is there."""
    names = _names(lab, kind, visitor)
    return [(label, each) for each, label in names.items() if each not in ids]


def named(lab: Lab, kind: str, visitor: str, run_id: str) -> str:
    """Return what a run is called in the lists; its id where they no longer reach it."""
    return _names(lab, kind, visitor).get(run_id, run_id)


def _names(lab: Lab, kind: str, visitor: str) -> dict[str, str]:
    known = {run_id: label for label, run_id in stored_runs(lab, kind, visitor)}
    return known | {example.run_id: example.title for example in lab.examples(kind)}


def address_of(kind: str, run_id: str) -> str:
    """Return where a run is opened, relative to the page."""
    return f"{PAGES[kind]}?{PARAMETERS.get(kind, 'run')}={run_id}"


def _lane(found: RunComparison, at: int) -> dict[str, Any]:
    lane = found.lanes[at]
    return {
        "name": lane.name,
        "id": lane.run_id,
        "address": address_of(found.kind, lane.run_id),
        "reference": lane.reference,
        "texts": displayed(lane.texts)[:MOST_TOKENS],
        "places": lane.places[:MOST_TOKENS].tolist(),
        "left_out": max(0, len(lane.texts) - MOST_TOKENS),
    }


def _figures(found: RunComparison, measure: str) -> dict[str, str]:
    if not found.places:
        return {}
    return {name: _drawn(found, name, measure) for name in ("places", "differences")}


def _drawn(found: RunComparison, name: str, measure: str) -> str:
    """Return a figure as the browser reads it, with what stands under its picture."""
    figure = caption(found.figure(name, measure=measure), *credit_of(found.runs))
    return figure_json(opening(figure, of_figure(name, [run.id for run in found.runs], measure)))


def _heads(found: RunComparison, wanted: object) -> dict[str, Any] | None:
    if not found.heads:
        return None
    name = wanted if isinstance(wanted, str) and wanted in found.heads else next(iter(found.heads))
    values = found.heads[name]
    return {
        "measure": name,
        "measures": {key: [MEASURES[key].title, MEASURES[key].definition] for key in found.heads},
        "values": [_sent(grid) for grid in values],
        "number": [*found.heads].index(name),
        "names": [lane.name for lane in found.lanes],
        "figures": {
            each: _drawn(found, each, name) for each in ("head_differences", "head_values")
        },
    }


def _most(found: RunComparison, measure: str) -> int | None:
    largest = found.largest(measure)
    return None if largest is None else largest.place


def _table(found: RunComparison, name: str, selects: str) -> str:
    """Return the places where runs differ most, each a button that selects it."""
    measure, differences = found.measure(name), found.difference(name)
    apart = np.nan_to_num(np.abs(differences), nan=-1.0).max(0, initial=-1.0)
    order = np.argsort(-apart, kind="stable")[:ROWS].tolist()
    columns = [
        Column(found.axis, "Press one to select it."),
        *(Column(lane.name, measure.meaning) for lane in found.lanes),
        Column("largest difference", "Of a run from what it is compared with."),
    ]
    rows: list[list[Cell]] = [
        [
            Link(_called(found, place), {selects: place}),
            *(_number(found, name, lane, place) for lane in range(len(found.lanes))),
            Number(number(float(apart[place]), measure.unit), source("largest", place)),
        ]
        for place in order
        if apart[place] > 0
    ]
    return table_html(
        columns, rows, f"Where {measure.title} differs most", "It differs at no place."
    )


def _called(found: RunComparison, place: int) -> str:
    if found.axis not in ("token", "point"):
        return str(place)
    return f"{place} {one_line(found.places[place])}"


def _number(found: RunComparison, name: str, lane: int, place: int) -> Cell:
    measure = found.measure(name)
    value = float(measure.values[lane, place])
    if not np.isfinite(value):
        return NONE
    of = value_source(measure, lane, place)
    said = number(value, measure.unit)
    return said if of is None else Number(said, of, found.lanes[lane].run_id)


def _sent(values: NDArray[np.floating]) -> list[list[float | None]]:
    """Return numbers in four digits; None for what is not there."""
    return [[float(f"{v:.4g}") if v == v else None for v in row] for row in values.tolist()]
