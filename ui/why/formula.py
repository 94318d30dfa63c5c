"""A number that is made of a result's field by one line of Python."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """A number that is more than one place of one field."""

    field: str
    """The field of the result whose definition stands with it."""
    title: str
    meaning: str
    """How it is made of the field."""
    expression: str
    """Python in which ``result`` is the run's result, ``np`` NumPy; ``{0}`` the first index."""
    unit: str | None = None
    """Where it is another than the field's."""
