"""Acceptance lengths and rates of one run, by every definition that engines and papers use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenarium.backend.imports.record import ImportedRequest, ReportedRound
from tokenarium.backend.speculation.result import SpeculationResult


@dataclass(frozen=True)
class Totals:
    """What a run adds up to; None where it is not known."""

    rounds: int | None
    """Verifications."""
    drafted: int | None
    accepted: int | None
    """Drafted tokens that were accepted; the token that follows each round's not counted."""
    tokens: int | None
    """New tokens of the text."""
    rejecting: int | None = None
    """Rounds in which a drafted token was rejected."""

    def __add__(self, other: "Totals") -> "Totals":
        names = self.__dataclass_fields__
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return Totals(**{n: None if None in pair else sum(pair) for n, pair in pairs.items()})


@dataclass(frozen=True)
class Definition:
    """One way to say how much was accepted."""

    title: str
    formula: str
    used_by: str
    value: float | None
    """None where what it needs is not known."""


def totals_of(request: ImportedRequest) -> Totals:
    """Return what one request adds up to: as reported, else from its rounds."""
    rounds = request.rounds
    drafts = [each.drafted for each in rounds]
    known = [drafted for drafted in drafts if drafted is not None]
    full = len(known) == len(drafts) and bool(rounds)
    steps, drafted, accepted = request.steps, request.drafted, request.accepted
    if steps is None and rounds:
        steps = len(rounds)
    if drafted is None and full:
        drafted = sum(known)
    if accepted is None and rounds:
        accepted = sum(each.accepted for each in rounds)
    rejecting = None
    if full:
        rejecting = sum(each.accepted < (each.drafted or 0) for each in rounds)
    return Totals(steps, drafted, accepted, request.completion_tokens, rejecting)


def totals_of_run(result: SpeculationResult) -> Totals:
    """Return what a run of this project adds up to; of a tree every verified node is drafted."""
    rounds = result.rounds
    chain = bool((rounds["width"] <= 1).all())
    rejecting = int((rounds["accepted_len"] < rounds["verified"]).sum()) if chain else None
    return Totals(
        len(rounds),
        int(rounds["verified"].sum()),
        int(result.accepted_in_text.sum()),
        len(result.token_ids),
        rejecting,
    )


def summed(all_of: Iterable[Totals]) -> Totals:
    """Return the sum over requests; what one of them does not know is not known."""
    found = list(all_of)
    total = found[0]
    for other in found[1:]:
        total = total + other
    return total


def definitions(totals: Totals) -> list[Definition]:
    """Return every definition with its value."""
    rounds, accepted, drafted = totals.rounds, totals.accepted, totals.drafted
    per_round = _ratio(accepted, rounds)
    tested = None
    if accepted is not None and totals.rejecting is not None:
        tested = accepted + totals.rejecting
    return [
        Definition(
            "mean acceptance length",
            "1 + accepted / rounds",
            "vLLM mean_acceptance_length, llama.cpp mean acceptance length",
            None if per_round is None else 1 + per_round,
        ),
        Definition(
            "tokens per verification",
            "new tokens / rounds",
            "SGLang spec_accept_length, tokens per target call on Speculate",
            _ratio(totals.tokens, rounds),
        ),
        Definition(
            "mean accepted tokens",
            "accepted / rounds",
            "papers that do not count the token after the accepted ones",
            per_round,
        ),
        Definition(
            "accepted of drafted",
            "accepted / drafted",
            "vLLM draft_acceptance_rate, SGLang spec_accept_rate, llama.cpp draft acceptance",
            _ratio(accepted, drafted),
        ),
        Definition(
            "acceptance rate",
            "accepted / (accepted + rounds that reject)",
            "the a of Leviathan et al., 2022, arXiv:2211.17192, over places that were tested",
            _ratio(accepted, tested),
        ),
    ]


@dataclass(frozen=True)
class Position:
    """What became of the drafted tokens at one place of their rounds, from 1."""

    place: int
    drafted: int | None
    accepted: int | None
    share: float | None


def by_position(requests: Sequence[ImportedRequest]) -> list[Position]:
    """Return how often the first, second, ... drafted token was accepted.

    Counted over the rounds that drafted so many; over all of them where the lengths of drafts are
    not known. Where no rounds are reported, shares are the engine's own, and means of requests are
    weighted by their rounds.
    """
    rounds = [each for request in requests for each in request.rounds]
    if rounds:
        return _counted(rounds)
    told = [request for request in requests if request.position_rate]
    if len(told) > 1 and any(request.steps is None for request in told):
        return []  # a mean without weights would be of nothing
    depth = max((len(request.position_rate) for request in told), default=0)
    return [Position(at + 1, None, None, _mean_rate(told, at)) for at in range(depth)]


def _counted(rounds: Sequence[ReportedRound]) -> list[Position]:
    unknown = any(each.drafted is None for each in rounds)
    deepest = max(max(each.accepted, each.drafted or 0) for each in rounds)
    found = []
    for place in range(1, deepest + 1):
        accepted = sum(each.accepted >= place for each in rounds)
        drafted = len(rounds) if unknown else sum((each.drafted or 0) >= place for each in rounds)
        known = None if unknown else drafted
        found.append(Position(place, known, accepted, accepted / drafted if drafted else None))
    return found


def _mean_rate(told: Sequence[ImportedRequest], at: int) -> float | None:
    weighted = [
        (request.position_rate[at], request.steps or 1)
        for request in told
        if at < len(request.position_rate)
    ]
    total = sum(weight for _, weight in weighted)
    return sum(rate * weight for rate, weight in weighted) / total if total else None


def _ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def as_facts(found: Sequence[Definition]) -> list[Mapping[str, Any]]:
    """Return definitions as values that JSON can hold."""
    return [vars(each) for each in found]
