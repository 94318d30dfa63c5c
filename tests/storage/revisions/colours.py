"""What a later release could change: a column of runs, and a table; numbered where it is used."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = "0000"


def upgrade() -> None:
    # DuckDB alters no table that has an index.
    op.drop_index("ix_runs_key", "runs")
    op.add_column("runs", sa.Column("colour", sa.Text(), server_default=""))
    op.create_index("ix_runs_key", "runs", ["key"])
    op.create_table("colours", sa.Column("run_id", sa.Text(), nullable=False))
    op.execute("INSERT INTO colours SELECT id FROM runs")
    if op.get_bind().exec_driver_sql("SELECT count(*) FROM runs WHERE text = 'fail'").scalar():
        raise RuntimeError("this revision breaks off here")
