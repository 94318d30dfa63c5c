"""The documents' tables of strategies and constraints, which ``docs/generate.py`` writes."""

from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.strategy import Strategy


def strategies_table() -> str:
    """Return every registered strategy and constraint as Markdown tables, as declared."""
    head = (
        "| Strategy | Name | Chance | Tries branches | What it does | Source |",
        "|---|---|---|---|---|---|",
    )
    rules = (
        "| Constraint | Name | What the text keeps |",
        "|---|---|---|",
        *(
            f"| {one.title} | `{one.slug}` | {one.explanation} |"
            for one in Constraint.registry.all()
        ),
    )
    return "\n".join((*head, *map(_row, Strategy.registry.all()), "", *rules))


def _row(strategy: type[Strategy]) -> str:
    variant = "" if strategy.differs == "no" else " (variant)"
    cells = (
        strategy.title + variant,
        f"`{strategy.slug}`",
        "drawn" if strategy.draws else "-",
        "yes" if strategy.branches else "-",
        strategy.explanation,
        strategy.paper,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
