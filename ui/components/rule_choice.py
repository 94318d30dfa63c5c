"""Which rules are right for a drafter at a temperature, and why others are not."""

from collections.abc import Mapping, Sequence

from tokenarium.backend import Pair
from tokenarium.ui.text import escape

AFTER: dict[str | None, str] = {"relaxed": " (relaxed: another distribution)"}


def offered_rules(pairs: Sequence[Pair], titles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return label and slug of the rules that are right for the drafter of ``pairs``."""
    right = [pair for pair in pairs if pair.reason is None]
    return [(titles[pair.rule] + AFTER.get(pair.promise, ""), pair.rule) for pair in right]


def refused_rules(pairs: Sequence[Pair], titles: Mapping[str, str]) -> str:
    """Return the rules that a drafter cannot have at a temperature, each with the reason."""
    refused = [pair for pair in pairs if pair.reason is not None]
    if not refused:
        return ""
    items = "".join(
        f"<li><b>{escape(titles[pair.rule])}</b>: {escape(str(pair.reason))}.</li>"
        for pair in refused
    )
    return (
        f'<details class="tk-refused-rules"><summary>{len(refused)} rules would spoil the text '
        f"with this drafter at this temperature: why?</summary><ul>{items}</ul></details>"
    )
