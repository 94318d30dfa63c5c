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


def quantity(title: str, axes: str, unit: str, formula: str, meaning: str, source: str = "") -> Any:
    """Declare a dataclass field together with its definition."""
    definition = Quantity(title, axes, unit, formula, meaning, source)
    return dataclasses.field(metadata={"quantity": definition})


@dataclass(frozen=True)
class Result:
    """A frozen dataclass of NumPy arrays and primitives, defined field by field."""

    schema_version: ClassVar[int]
    """Raised whenever a field changes its meaning; part of the cache key."""

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """Return the definition of every field that declares one, by field name."""
        return {
            field.name: field.metadata["quantity"]
            for field in dataclasses.fields(cls)
            if "quantity" in field.metadata
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields that are NumPy arrays, by field name."""
        return {name: value for name, value in self._fields() if isinstance(value, np.ndarray)}

    def facts(self) -> dict[str, Any]:
        """Return every other field, as values JSON can hold, by field name."""
        return {name: value for name, value in self._fields() if not isinstance(value, np.ndarray)}

    def tables(self) -> dict[str, pa.Table]:
        """Return the rows that SQL can query, by table name; columns as ``storage`` declares."""
        return {}

    @classmethod
    def from_stored(cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the result from ``facts()`` and ``arrays()``."""
        tuples = {name for name, hint in get_type_hints(cls).items() if "tuple" in str(hint)}
        plain = {name: _as_tuples(v) if name in tuples else v for name, v in facts.items()}
        return cls(**plain, **arrays)

    def _fields(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]


def _as_tuples(value: Any) -> Any:
    """JSON has lists only; fields are tuples, also of tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value
