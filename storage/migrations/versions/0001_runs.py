"""Runs, their tokens, heads and arrays, and the digests of files."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from tokenarium.storage.schema import PackedBytes

revision = "0001"
down_revision = None

TEXT, INTEGER, BIG = sa.Text, sa.Integer, sa.BigInteger


def _columns(
    kind: type[sa.types.TypeEngine[Any]], names: str, nullable: bool = False
) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=nullable) for name in names.split()]


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), primary_key=True),
        *_columns(TEXT, "kind key model text"),
        *_columns(sa.DateTime, "created"),
        *_columns(sa.Double, "duration_ms"),
        *_columns(sa.JSON, "request facts environment"),
        *_columns(TEXT, "owner"),
        *_columns(sa.Boolean, "pinned"),
        *_columns(BIG, "array_bytes"),
        *_columns(sa.Boolean, "arrays_dropped"),
    )
    op.create_index("ix_runs_key", "runs", ["key"])
    op.create_table(
        "tokens",
        *_columns(TEXT, "run_id"),
        *_columns(INTEGER, "position token_id"),
        *_columns(TEXT, "token"),
        *_columns(INTEGER, "char_start char_stop", nullable=True),
        *_columns(sa.REAL, "surprisal_nats entropy_nats varentropy_nats2", nullable=True),
        *_columns(INTEGER, "token_rank", nullable=True),
        *_columns(sa.REAL, "received_mass residual_norm", nullable=True),
    )
    op.create_table(
        "head_metrics",
        *_columns(TEXT, "run_id"),
        *_columns(INTEGER, "layer head"),
        *_columns(sa.REAL, "sink_score previous_mass self_mass", nullable=True),
        *_columns(sa.REAL, "attention_entropy_nats attention_distance", nullable=True),
    )
    op.create_table(
        "arrays", *_columns(TEXT, "run_id name dtype shape codec"), *_columns(BIG, "stored_bytes")
    )
    op.create_table(
        "parts",
        *_columns(TEXT, "run_id name"),
        *_columns(INTEGER, "part"),
        sa.Column("data", PackedBytes, nullable=False),
    )
    op.create_table(
        "files",
        sa.Column("path", sa.Text(), primary_key=True),
        *_columns(BIG, "size mtime_ns"),
        *_columns(TEXT, "digest"),
    )
    if op.get_bind().dialect.name != "duckdb":
        for table in ("tokens", "head_metrics", "arrays", "parts"):
            op.create_index(f"ix_{table}_run_id", table, ["run_id"])
