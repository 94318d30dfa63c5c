"""What every result has in common: definitions of its quantities, and its stored form."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quantity:
    """Definition of one field of a result; the interface shows it wherever the number stands."""

    title: str
    """Name in the field's standard terms."""
    axes: str
    """Axes, such as ``L,H,T``; empty for a scalar."""
    unit: str
    """Unit, such as ``nats``; empty for a pure number."""
    formula: str
    """How it is computed, as a formula in plain characters."""
    meaning: str
    """One sentence a student understands."""
    source: str = ""
    """Authors, year and arXiv id, where it comes from a paper."""
    since: int = 1
    """Schema version of its result that first measured it; None in runs of an older one."""
    version: int = 1
    """Schema version of its result in which its meaning last changed."""


def quantity(
    title: str,
    axes: str,
    unit: str,
    formula: str,
    meaning: str,
    source: str = "",
    *,
    since: int = 1,
    version: int = 1,
) -> Any:
    """Declare a dataclass field together with its definition.

    A quantity that is added to a kind of run which is in use raises the ``schema_version`` of its
    result, names it in ``since``, and has a type that allows None: runs that are stored stay
    readable, and their value is None. One that changes its meaning names it in ``version``: runs
    that are stored are then computed again, unless the kind's ``upgrade`` mends them.
    """
    definition = Quantity(title, axes, unit, formula, meaning, source, since, version)
    metadata = {"quantity": definition}
    if since > 1:
        return dataclasses.field(metadata=metadata, default=None, kw_only=True)
    return dataclasses.field(metadata=metadata)


@dataclass(frozen=True)
class Result:
    """A frozen dataclass of NumPy arrays and primitives, defined field by field."""

    schema_version: ClassVar[int]
    """Raised whenever a quantity is added or changes its meaning."""
    oldest_readable: ClassVar[int] = 1
    """Schema version from before which no run is read, whatever its quantities say."""

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """Return the definition of every field that declares one, by field name."""
        return {
            field.name: field.metadata["quantity"]
            for field in dataclasses.fields(cls)
            if "quantity" in field.metadata
        }

    @classmethod
    def meaning_version(cls) -> int:
        """Return the schema version that last changed a meaning; part of the cache key."""
        return max(cls.oldest_readable, *(q.version for q in cls.quantities().values()))

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities that the version which stored the run did not measure; each is None."""
        later = [name for name, defined in self.quantities().items() if defined.since > 1]
        return tuple(name for name in later if getattr(self, name) is None)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields that are NumPy arrays, by field name."""
        return {name: value for name, value in self._fields() if isinstance(value, np.ndarray)}

    def facts(self) -> dict[str, Any]:
        """Return every other field that is not missing, as values JSON can hold, by field name."""
        missing = self.missing
        return {
            name: value
            for name, value in self._fields()
            if not isinstance(value, np.ndarray) and name not in missing
        }

    def tables(self) -> dict[str, pa.Table]:
        """Return the rows that SQL can query, by table name; columns as ``storage`` declares."""
        return {}

    @classmethod
    def from_stored(cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the result from ``facts()`` and ``arrays()``, also those of an older version.

        What is not among the fields any more is left out; what has been added since is missing.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        tuples = {name for name, hint in get_type_hints(cls).items() if "tuple" in str(hint)}
        stored = {name: value for name, value in (*facts.items(), *arrays.items()) if name in known}
        return cls(**{n: _as_tuples(v) if n in tuples else v for n, v in stored.items()})

    def _fields(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]


def _as_tuples(value: Any) -> Any:
    """JSON has lists only; fields are tuples, also of tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value
