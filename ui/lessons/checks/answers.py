"""What a student typed or chose is right of the run in sight."""

from math import isnan

from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.facts import FACTS, Fact, number
from tokenarium.ui.lessons.seen import Seen, Verdict


@check
def number_is(seen: Seen, fact: str, within: float = 0, share: float = 0) -> Verdict:
    """Say whether the number typed is that of a fact.

    Args:
        seen: what is in sight.
        fact: name of a fact whose value is a number.
        within: largest distance that is right.
        share: the same as a share of the fact; the larger of both counts.
    """
    found, typed = FACTS[fact](seen), number(seen.answer)
    assert isinstance(found.value, float | int)
    if isnan(typed):
        return Verdict(False, f"Type a number: {_where(found)}.")
    if abs(typed - found.value) <= max(within, share * abs(found.value)):
        return Verdict(True, found.said)
    way = "low" if typed < found.value else "high"
    return Verdict(False, f"{typed:g} is too {way}: {_where(found)}.")


@check
def choice_is(seen: Seen, fact: str) -> Verdict:
    """Say whether the option chosen is that of a fact."""
    found = FACTS[fact](seen)
    if not seen.answer:
        return Verdict(False, f"Choose one: {_where(found)}.")
    if seen.answer == found.value:
        return Verdict(True, found.said)
    return Verdict(False, f"Not so: {_where(found)}.")


def _where(found: Fact) -> str:
    return found.where.replace("*", "")
