"""A result as tables: quantities that share their axes are columns of one table."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result

AXES = {
    "T": "token",
    "T'": "changed_token",
    "L": "layer",
    "L+1": "residual",
    "H": "head",
    "G": "kv_head",
    "P": "policy",
    "S": "step",
    "R": "row",
    "N": "node",
    "C": "point",
    "D": "place",
    "U": "request",
    "E": "exercise",
    "K": "rule",
    "F": "factor",
    "M": "segmentation",
    "Q": "piece",
    "B": "byte",
    "k": "rank",
    "r": "row",
    "c": "column",
    "g": "tile",
    "T+S": "token",
}
"""Column that numbers an axis; an axis not named here is called ``axis_`` and its place,
one of a fixed length ``place``."""
SCALARS = "run"
"""Name of the table of what has no axes: one row."""


def tables_of(result: Result) -> dict[str, pa.Table]:
    """Return the result's quantities as tables, by name.

    ``received_mass`` with axes ``L,H,T`` stands in the table ``layer_head_token`` beside the
    columns ``layer``, ``head`` and ``token``, one row per number. Names come from the declared
    axes; quantities whose axes are named alike but differ in length get tables of their own.

    Args:
        result: of any kind of run.
    """
    groups: dict[tuple[str, tuple[int, ...]], dict[str, NDArray[Any]]] = {}
    scalars: dict[str, Any] = {}
    for name, quantity in type(result).quantities().items():
        value = getattr(result, name)
        array = _as_array(value, quantity.axes)
        if array is None:
            scalars[name] = value
        else:
            groups.setdefault((quantity.axes, array.shape), {})[name] = array
    tables = {SCALARS: pa.Table.from_pylist([_flat(scalars)])} if scalars else {}
    for (axes, shape), columns in groups.items():
        numbered = _numbered(axes, len(shape))
        name = "_".join(numbered)
        if name in tables:
            name = f"{name}_{next(iter(columns))}"
        tables[name] = _table(numbered, shape, columns)
    return tables


def _as_array(value: Any, axes: str) -> NDArray[Any] | None:
    """Return what has axes as an array; None for what stands alone."""
    if isinstance(value, np.ndarray):
        return value if value.ndim else None
    if not axes or not isinstance(value, list | tuple):
        return None
    depth = axes.count(",") + 1
    try:
        array = np.array(value)
    except ValueError:  # rows of unequal length
        return None
    return array if array.ndim == depth and array.size else None


def _flat(scalars: dict[str, Any]) -> dict[str, Any]:
    """Return values that one row can hold: what is nested becomes JSON."""
    import orjson

    simple = (str, int, float, bool, type(None))
    return {
        name: value if isinstance(value, simple) else orjson.dumps(value, default=str).decode()
        for name, value in scalars.items()
    }


def _numbered(axes: str, dimensions: int) -> list[str]:
    """Return the name of the column that numbers each dimension, every name once."""
    declared = axes.split(",") if axes else []
    names: list[str] = []
    for place in range(dimensions):
        axis = declared[place] if place < len(declared) else ""
        name = AXES.get(axis, "place" if axis.isdigit() else f"axis_{place}")
        names.append(name if name not in names else f"{name}_{place}")
    return names


def _table(
    numbered: list[str], shape: tuple[int, ...], columns: dict[str, NDArray[Any]]
) -> pa.Table:
    """Return one row per place of ``shape``: its numbers, then what stands there."""
    places = np.indices(shape, dtype=np.int32).reshape(len(shape), -1)
    found: dict[str, Any] = dict(zip(numbered, places, strict=True))
    for name, array in columns.items():
        flat = array.reshape(-1)
        if flat.dtype.names is None:
            found[_free(name, found)] = _column(flat)
            continue
        for field in flat.dtype.names:  # a structured array is a table already
            found[_free(field, found)] = _column(flat[field])
    return pa.table(found)


def _free(name: str, taken: dict[str, Any]) -> str:
    """Return ``name``, or another where an axis has it."""
    return name if name not in taken else f"{name}_value"


def _column(flat: NDArray[Any]) -> Any:
    if flat.ndim > 1:  # a field of several numbers
        return pa.array(flat.tolist())
    return pa.array(np.ascontiguousarray(flat))
