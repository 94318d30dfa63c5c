"""The tables, declared once; ``tokenarium.storage.migrations`` creates them.

No foreign keys: DuckDB refuses to delete parent and child in one transaction. No keys in the row
tables: in DuckDB they slow a bulk insert threefold (32,768 tokens: 44 ms without, 151 ms with),
and reading a run's rows by scanning ``run_id`` takes 4 ms among 200,000.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    REAL,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    Text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON, TypeDecorator, UserDefinedType

SCHEMA_VERSION = "0004"
"""Revision of ``tokenarium.storage.migrations`` this code reads and writes."""

PART_BYTES = 4_000
"""Blobs are cut to this: strings of 4,096 bytes and more leave DuckDB's row order, and a page of
2,048 of them is then read whole (a run of 4 MB: 5 ms in parts, 340 ms in one piece each)."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored as UTC without a time zone, so that no database shifts it."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value} has no time zone: use datetime.now(UTC)")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class UncompressedBlob(UserDefinedType[bytes]):
    """DuckDB's BLOB without its own compression, which took seconds on compressed bytes."""

    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:  # noqa: ARG002
        return "BLOB USING COMPRESSION UNCOMPRESSED"


PackedBytes = LargeBinary().with_variant(UncompressedBlob(), "duckdb")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        int: Integer(),
        float: REAL(),
        bytes: PackedBytes,
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
    }


def _identity(*columns: str) -> dict[str, Any]:
    """What makes a row unique, for the mapper alone: no key is built in the database."""
    return {"primary_key": columns}


def _not_duckdb(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name != "duckdb"


def _run_index(table: str) -> Index:
    """Index for the databases that are slow to scan a column; DuckDB is not."""
    return Index(f"ix_{table}_run_id", "run_id").ddl_if(callable_=_not_duckdb)


class RunRow(Base):
    """One run; ``facts`` are its single values, the long ones are parts named ''."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    text: Mapped[str]
    created: Mapped[datetime]
    duration_ms: Mapped[float] = mapped_column(Double)
    request: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]
    owner: Mapped[str]
    pinned: Mapped[bool]
    array_bytes: Mapped[int] = mapped_column(BigInteger)
    arrays_dropped: Mapped[bool]
    note: Mapped[str | None] = mapped_column(server_default="")


class TagRow(Base):
    """One tag of a run, a word that somebody gave it."""

    __tablename__ = "tags"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    tag: Mapped[str]

    __mapper_args__ = _identity("run_id", "tag")


class MethodRow(Base):
    """One method that a run uses: ``family`` is policy, drafter, rule, intervention or task."""

    __tablename__ = "methods"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    family: Mapped[str]
    method: Mapped[str]

    __mapper_args__ = _identity("run_id", "family", "method")


class TokenRow(Base):
    """One token of a run."""

    __tablename__ = "tokens"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    position: Mapped[int]
    token_id: Mapped[int]
    token: Mapped[str]
    char_start: Mapped[int | None]
    char_stop: Mapped[int | None]
    surprisal_nats: Mapped[float | None]
    entropy_nats: Mapped[float | None]
    varentropy_nats2: Mapped[float | None]
    token_rank: Mapped[int | None]
    received_mass: Mapped[float | None]
    residual_norm: Mapped[float | None]
    turn: Mapped[int | None]
    turn_role: Mapped[str | None]

    __mapper_args__ = _identity("run_id", "position")


class HeadMetricRow(Base):
    """One attention head of a run."""

    __tablename__ = "head_metrics"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    layer: Mapped[int]
    head: Mapped[int]
    sink_score: Mapped[float | None]
    previous_mass: Mapped[float | None]
    self_mass: Mapped[float | None]
    attention_entropy_nats: Mapped[float | None]
    attention_distance: Mapped[float | None]

    __mapper_args__ = _identity("run_id", "layer", "head")


class ArrayRow(Base):
    """One array of a run; its bytes are the parts of the same name."""

    __tablename__ = "arrays"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    name: Mapped[str]
    dtype: Mapped[str]
    shape: Mapped[str]
    codec: Mapped[str]
    stored_bytes: Mapped[int] = mapped_column(BigInteger)

    __mapper_args__ = _identity("run_id", "name")


class PartRow(Base):
    """At most ``PART_BYTES`` of an array, or of the long facts (named '')."""

    __tablename__ = "parts"
    __table_args__ = (_run_index(__tablename__),)

    run_id: Mapped[str]
    name: Mapped[str]
    part: Mapped[int]
    data: Mapped[bytes]

    __mapper_args__ = _identity("run_id", "name", "part")


class FileRow(Base):
    """The SHA-256 of a file as it was at a size and modification time."""

    __tablename__ = "files"

    path: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str]


class ClassRow(Base):
    """A teacher's class: students type ``code``; ``secret`` digests what opens its table."""

    __tablename__ = "classes"

    code: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    title: Mapped[str]
    created: Mapped[datetime]


class ClassMemberRow(Base):
    """A student of a class: a number, and the digest of a private name."""

    __tablename__ = "class_members"

    code: Mapped[str]
    member: Mapped[int]
    student: Mapped[str]

    __mapper_args__ = _identity("code", "member")


class ClassPassRow(Base):
    """A step of a lesson that a student of a class passed."""

    __tablename__ = "class_passes"

    code: Mapped[str]
    member: Mapped[int]
    lesson: Mapped[str]
    step: Mapped[int]
    passed: Mapped[datetime]

    __mapper_args__ = _identity("code", "member", "lesson", "step")


ROW_TABLES = {name: Base.metadata.tables[name] for name in ("tokens", "head_metrics")}
"""Tables a result may fill."""
