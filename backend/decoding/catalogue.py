"""The documents' table of decoding strategies, which ``docs/generate.py`` writes."""

from tokenarium.backend.decoding.strategy import Strategy


def strategies_table() -> str:
    """Return every registered strategy as a Markdown table, from its own declaration."""
    head = (
        "| Strategy | Name | Chance | Tries branches | What it does | Source |",
        "|---|---|---|---|---|---|",
    )
    return "\n".join((*head, *map(_row, Strategy.registry.all())))


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
