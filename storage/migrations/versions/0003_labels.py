"""A note, tags and the methods of a run; methods are read from what earlier runs were asked."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

AT_ONCE = 300
"""Rows of one INSERT: SQLite takes at most 999 values in some builds."""


def upgrade() -> None:
    # DuckDB alters no table that has an index.
    op.drop_index("ix_runs_key", "runs")
    op.add_column("runs", sa.Column("note", sa.Text(), nullable=True, server_default=""))
    op.create_index("ix_runs_key", "runs", ["key"])
    text = sa.Text()
    op.create_table("tags", *(sa.Column(name, text, nullable=False) for name in ("run_id", "tag")))
    methods = op.create_table(
        "methods",
        *(sa.Column(name, text, nullable=False) for name in ("run_id", "family", "method")),
    )
    if op.get_bind().dialect.name != "duckdb":
        for table in ("tags", "methods"):
            op.create_index(f"ix_{table}_run_id", table, ["run_id"])
    runs = sa.table("runs", sa.column("id", sa.Text()), sa.column("request", sa.JSON()))
    rows = [
        {"run_id": run_id, "family": family, "method": method}
        for run_id, request in op.get_bind().execute(sa.select(runs.c.id, runs.c.request))
        for family, method in _methods(request)
    ]
    for first in range(0, len(rows), AT_ONCE):
        op.get_bind().execute(sa.insert(methods).values(rows[first : first + AT_ONCE]))


def _methods(request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield family and method of a request, as requests were until here, each once."""
    named = [("policy", each) for each in request.get("policies") or ()]
    named += [(name, request.get(name)) for name in ("drafter", "rule", "intervention", "task")]
    seen = set()
    for family, spec in named:
        slug = spec.get("slug") if isinstance(spec, dict) else spec
        if isinstance(slug, str) and slug and (family, slug) not in seen:
            seen.add((family, slug))
            yield family, slug
