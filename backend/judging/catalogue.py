"""The documents' table of measures, which ``docs/generate.py`` writes."""

from tokenarium.backend.judging.measure import Measure


def measures_table() -> str:
    """Return every registered measure as a Markdown table, from its own declaration."""
    head = ("| Measure | Name | Score | By chance | Source |", "|---|---|---|---|---|")
    return "\n".join((*head, *map(_row, Measure.registry.all())))


def _row(measure: type[Measure]) -> str:
    variant = "" if measure.differs == "no" else " (variant)"
    unit = f", {measure.unit}" if measure.unit else ""
    cells = (
        measure.title + variant,
        f"`{measure.slug}`",
        measure.formula + unit,
        measure.null_formula,
        measure.paper,
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
