"""What is known of one request of another engine, whatever it was read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_COUNT = 2**31 - 1
MOST_ROUNDS = 200_000


@dataclass(frozen=True)
class ReportedRound:
    """One verification: how many tokens were drafted and how many of them were accepted."""

    drafted: int | None
    """None where only its outcome is known."""
    accepted: int


@dataclass(frozen=True)
class ImportedRequest:
    """One request as an engine reports it; what it does not say is None or empty."""

    name: str = ""
    model: str = ""
    rounds: tuple[ReportedRound, ...] = ()
    ordered: bool = True
    """Whether the rounds are in the order in which they happened; a histogram says no order."""
    steps: int | None = None
    """Verifications."""
    drafted: int | None = None
    accepted: int | None = None
    completion_tokens: int | None = None
    position_rate: tuple[float, ...] = ()
    """Share of rounds that accepted the first, second, ... drafted token, where only that is
    reported."""
    draft_width: int | None = None
    """Tokens drafted in every round, where it is one number."""
    reported: Mapping[str, float] = field(default_factory=dict)
    """The engine's own ratios, by its names."""
    token_ids: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()
    """Pieces of text of each token, where given."""
    logprobs: tuple[float, ...] = ()
    prompt: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()


def count(value: Any, name: str, most: int = MOST_COUNT) -> int:
    """Return a number of things.

    Raises: ValueError if it is no whole number from 0 on, in words.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(
            f"{name}={value!r:.40} is no count: give a whole number from 0 to {most:,}"
        )
    return value


def known_count(values: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of some fields that is there; None where none is."""
    for name in names:
        if values.get(name) is not None:
            return count(values[name], name)
    return None


def text_of(values: Mapping[str, Any], name: str) -> str:
    """Return a field where it is a text; empty where it is none, or not there."""
    value = values.get(name)
    return value if isinstance(value, str) else ""


def counts(value: Any, name: str, most: int = MOST_ROUNDS) -> tuple[int, ...]:
    """Return a list of counts.

    Raises: ValueError if it is none or too long, in words.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name}={value!r:.40} is no list of counts")
    if len(value) > most:
        raise ValueError(f"{name} has {len(value):,} entries, over {most:,}: give fewer")
    return tuple(count(each, f"{name}[{at}]") for at, each in enumerate(value))


def ratios(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Return those of an engine's ratios that are there.

    Raises: ValueError for one that is no finite number from 0 on.
    """
    found = {}
    for name in names:
        value = values.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise ValueError(f"{name}={value!r:.40} is no ratio: give a finite number from 0")
        found[name] = float(value)
    return found


def of_histogram(histogram: Sequence[int], width: int | None) -> tuple[ReportedRound, ...]:
    """Return rounds by falling order of nothing but their outcome.

    Args:
        histogram: number of rounds that accepted 0, 1, 2, ... tokens.
        width: drafted in each; None where that is not known.
    """
    if sum(histogram) > MOST_ROUNDS:
        raise ValueError(
            f"the histogram counts {sum(histogram):,} rounds, over {MOST_ROUNDS:,}: give one "
            "request at a time"
        )
    return tuple(
        ReportedRound(width, accepted)
        for accepted, number in enumerate(histogram)
        for _ in range(number)
    )


def paired(values: Mapping[str, Any], names: tuple[str, str]) -> tuple[ReportedRound, ...]:
    """Return rounds in order from two lists, of what was drafted and what was accepted.

    Raises: ValueError if the lists differ in length or a round accepts more than it drafted.
    """
    drafted, accepted = (counts(values[name], name) for name in names)
    if len(drafted) != len(accepted):
        raise ValueError(
            f"{names[0]} has {len(drafted)} entries and {names[1]} {len(accepted)}: both are one "
            "a round"
        )
    for at, (most, kept) in enumerate(zip(drafted, accepted, strict=True)):
        if kept > most:
            raise ValueError(
                f"{names[1]}[{at}]={kept} is above {names[0]}[{at}]={most}: no round accepts more "
                "than it drafts"
            )
    return tuple(ReportedRound(d, a) for d, a in zip(drafted, accepted, strict=True))
