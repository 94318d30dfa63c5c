"""A run as one JSON text: every number with its definition, and how it was made."""

from dataclasses import asdict

import numpy as np
import orjson

from backend.run import Run

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
        "values": result.facts() | {n: np.ascontiguousarray(a) for n, a in result.arrays().items()},
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()
