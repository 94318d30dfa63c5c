"""Tables of a run as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from tokenarium.ui.figures.marks import FORMULA


def csv_text(rows: NDArray[Any]) -> str:
    """Return a structured array as CSV with a line of names."""
    return _written(rows.dtype.names or (), rows.tolist())


def csv_columns(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> str:
    """Return columns of equal length as CSV with a line of names."""
    return _written(list(columns), zip(*columns.values(), strict=True))


def _plain(cell: Any) -> Any:
    """Return a cell with an apostrophe before a text that a spreadsheet would compute."""
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def _written(names: Sequence[str], rows: Any) -> str:
    found = io.StringIO()
    writer = csv.writer(found)
    writer.writerow(names)
    writer.writerows(map(_plain, row) for row in rows)
    return found.getvalue()
