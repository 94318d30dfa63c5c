"""The result of a region request."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.runs.result import Result, quantity


@dataclass(frozen=True)
class RegionResult(Result):
    """One head's attention over a rectangle: r = min(rows, tiles), c = min(columns, tiles)."""

    schema_version: ClassVar[int] = 2
    oldest_readable: ClassVar[int] = 2

    mean: NDArray[np.float32] = quantity(
        "attention map, mean",
        "r,c",
        "",
        "mean of A[i, j] over the causal pairs of a tile; NaN in tiles without one",
        "The attention map of the chosen rectangle.",
    )
    highest: NDArray[np.float32] = quantity(
        "attention map, highest",
        "r,c",
        "",
        "maximum of A[i, j] over the causal pairs of a tile; NaN in tiles without one",
        "The strongest single links of the chosen rectangle.",
    )
    query_edges: NDArray[np.int32] = quantity(
        "query edges", "r+1", "tokens", "tile a covers [edge a, edge a+1)", "Where rows begin."
    )
    key_edges: NDArray[np.int32] = quantity(
        "key edges", "c+1", "tokens", "tile b covers [edge b, edge b+1)", "Where columns begin."
    )
    source: str = quantity(
        "source",
        "",
        "",
        "queries and keys are kept for texts of up to 4,096 tokens read lately; any other text is "
        "read again up to the layer asked for",
        "How this closer look was made.",
    )
