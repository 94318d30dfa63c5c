"""A comparison as tables: a row per lane and place, per lane, and per lane and head."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from tokenarium.backend.comparison.result import RunComparison


def tables_of(comparison: "RunComparison") -> dict[str, pa.Table]:
    """Return its tables by name; see ``RunComparison.table``."""
    found = {"place": _places(comparison), "lane": _lanes(comparison)}
    if comparison.heads:
        found["head"] = _heads(comparison)
    return found


def _places(comparison: "RunComparison") -> pa.Table:
    lane, place = np.indices((len(comparison.lanes), len(comparison.places))).reshape(2, -1)
    columns: dict[str, Any] = {
        **_named(comparison, lane),
        comparison.axis: place.astype(np.int32),
        "name": [comparison.places[at] for at in place.tolist()],
    }
    for name, measure in comparison.measures.items():
        columns[name] = measure.values.ravel()
        columns[f"{name}_difference"] = comparison.difference(name).ravel()
    return pa.table(columns)


def _lanes(comparison: "RunComparison") -> pa.Table:
    names = dict.fromkeys(name for lane in comparison.lanes for name in lane.facts)
    rows = [
        {
            "lane": lane.name,
            "run": lane.run_id,
            "model": lane.model,
            "reference": comparison.lanes[lane.reference].name,
            "tokens": len(lane.texts),
            "aligned_by": found.by if found else None,
            "aligned": found.second_aligned if found else None,
            "aligned_in_first": found.first_aligned if found else None,
            **{name: lane.facts.get(name) for name in names},
        }
        for lane, found in zip(comparison.lanes, comparison.alignments, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def _heads(comparison: "RunComparison") -> pa.Table:
    shape = next(iter(comparison.heads.values())).shape
    lane, layer, head = np.indices(shape).reshape(3, -1)
    columns: dict[str, Any] = {
        **_named(comparison, lane),
        "layer": layer.astype(np.int32),
        "head": head.astype(np.int32),
    }
    for name, values in comparison.heads.items():
        columns[name] = values.ravel()
        columns[f"{name}_difference"] = comparison.head_difference(name).ravel()
    return pa.table(columns)


def _named(comparison: "RunComparison", lane: Any) -> dict[str, Any]:
    lanes = [comparison.lanes[number] for number in lane.tolist()]
    return {"lane": [each.name for each in lanes], "run": [each.run_id for each in lanes]}
