"""Quantities of every result that compares policies: their slugs and names."""

from typing import Any

from tokenarium.backend.runs.result import quantity


def slugs_quantity(formula: str) -> Any:
    """Declare the slugs of the policies; ``formula`` says in which order."""
    return quantity("policies", "P", "", formula, "Which methods were compared.")


def titles_quantity() -> Any:
    """Declare the names of the policies."""
    return quantity(
        "names of the policies", "P", "", "as declared", "What people call the methods."
    )
