"""The documents' tables of drafters and rules, which ``docs/generate.py`` writes."""

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.matrix import why_not
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.stop_rule import StopRule

READS = {
    "text": "the text alone",
    "draft_model": "a second model",
    "target_layers": "the target's first layers",
    "target_states": "the target's last states",
}
DRAW = {
    "deterministic": "fixed choice",
    "iid": "drawn independently",
    "without_replacement": "drawn, each once",
}


def catalogue() -> str:
    """Return every registered drafter, rule and stop rule as Markdown tables."""
    of_drafters = _table(
        ("Drafter", "Name", "Reads", "Children", "How it drafts", "Exact with, above 0", "Source"),
        [_of_drafter(drafter) for drafter in Drafter.registry.all()],
    )
    of_rules = _table(
        ("Acceptance rule", "Name", "Promise", "At temperature", "What it does", "Source"),
        [_of_rule(rule) for rule in Rule.registry.all()],
    )
    of_stops = _table(
        ("Stop rule", "Name", "What it does", "Source"),
        [
            (rule.title + _variant(rule), f"`{rule.slug}`", rule.explanation, rule.paper)
            for rule in StopRule.registry.all()
        ],
    )
    return f"{of_drafters}\n\n{of_rules}\n\n{of_stops}"


def _of_drafter(drafter: type[Drafter]) -> tuple[str, ...]:
    exact = [
        f"`{rule.slug}`"
        for rule in Rule.registry.all()
        if rule.promise == "lossless"
        and not rule.greedy_only
        and why_not(drafter, rule, 1.0) is None
    ]
    return (
        drafter.title + _variant(drafter),
        f"`{drafter.slug}`",
        READS[drafter.source],
        DRAW[drafter.draw],
        drafter.explanation,
        ", ".join(exact),
        drafter.paper,
    )


def _of_rule(rule: type[Rule]) -> tuple[str, ...]:
    return (
        rule.title + _variant(rule),
        f"`{rule.slug}`",
        rule.promise,
        "0" if rule.greedy_only else "above 0",
        rule.explanation,
        rule.paper,
    )


def _variant(method: type[Drafter] | type[Rule] | type[StopRule]) -> str:
    return "" if method.differs == "no" else " (variant)"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
