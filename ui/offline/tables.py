"""The run's tables on the offline page: every column and row of those that are short."""

from collections.abc import Iterator
from typing import Any

from tokenarium.backend import Run, RunComparison
from tokenarium.ui.components.table import Column, table_html
from tokenarium.ui.text import escape, one_line

MOST_ROWS = 512
MOST_CELLS = 16_384


def tables_html(run: Run | RunComparison, name: str = "run") -> str:
    """Return the tables of what has this name as HTML, folded; of long ones how to get them."""
    found = "".join(_tables(run, name))
    return f'<details id="tk-tables"><summary>Tables of the {name}</summary>{found}</details>'


def _tables(run: Run | RunComparison, called: str) -> Iterator[str]:
    for name in run.tables:
        table = run.table(name)
        if table.num_rows > MOST_ROWS or table.num_rows * table.num_columns > MOST_CELLS:
            call = f"{called}.table({name!r})"
            yield (
                f'<p class="tk-sub">{escape(name)}: {table.num_rows:,} rows, not in this file '
                f"(<code>{escape(call)}</code>).</p>"
            )
            continue
        columns = [Column(column) for column in table.column_names]
        rows = [
            [written(row[column]) for column in table.column_names] for row in table.to_pylist()
        ]
        made = table_html(columns, rows, name, "No rows.")
        yield f'<div data-table="{escape(name)}">{made}</div>'


def written(value: Any) -> str:
    """Return a number or text of a table as it stands in the file; numbers with six digits."""
    if value is None or value != value:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(value) if isinstance(value, str) else str(value)
