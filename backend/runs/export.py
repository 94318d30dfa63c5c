"""A run as one JSON text: every number with its definition, and how it was made."""

from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tokenarium.backend.runs.run import Run

FORMAT = "tokenarium-run-1"


def as_json(run: Run) -> str:
    """Return ``run`` as JSON; NaN becomes null, and each quantity carries its definition.

    Args:
        run: as computed or opened.
    """
    result = run.result
    content = {
        "format": FORMAT,
        "id": run.id,
        "kind": run.request.kind,
        "created": run.created.isoformat(),
        "duration_ms": run.duration_ms,
        "request": run.request.model_dump(mode="json"),
        "environment": run.environment,
        "definitions": {name: asdict(q) for name, q in result.quantities().items()},
        "values": result.facts() | {name: _plain(a) for name, a in result.arrays().items()},
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _plain(array: NDArray[Any]) -> Any:
    """Return what JSON can hold: numbers, or the columns of a table by name."""
    if array.dtype.names is None:
        return np.ascontiguousarray(array)
    return {name: np.ascontiguousarray(array[name]) for name in array.dtype.names}
