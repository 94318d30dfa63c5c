"""Identities that the figures of a run must keep, whoever reports them."""

from collections.abc import Sequence

from tokenarium.backend.imports.lengths import Totals, definitions, totals_of
from tokenarium.backend.imports.record import ImportedRequest
from tokenarium.backend.speculation.auditing.audit import Check

COUNTS, RATIOS, TOKENS = "counts", "ratios", "tokens of the text"
_OF_DEFINITION = {
    "mean_acceptance_length": 0,
    "mean acceptance length": 0,
    "spec_accept_length": 1,
    "draft_acceptance_rate": 3,
    "spec_accept_rate": 3,
    "draft acceptance": 3,
}
"""Which of ``lengths.definitions`` an engine's ratio is."""
_ROUNDED = 0.0051
"""A log writes two digits or more after the point."""


def check_figures(requests: Sequence[ImportedRequest]) -> tuple[Check, ...]:
    """Return whether reported sums and ratios agree with rounds and with each other."""
    return _counts(requests), _ratios(requests), _tokens(requests)


def _counts(requests: Sequence[ImportedRequest]) -> Check:
    wrong, compared = list[str](), 0
    for number, request in enumerate(requests):
        rounds = request.rounds
        if not rounds:
            continue
        drafts = [each.drafted for each in rounds]
        sums = {
            "rounds": (request.steps, len(rounds)),
            "accepted": (request.accepted, sum(each.accepted for each in rounds)),
        }
        if None not in drafts:
            sums["drafted"] = (request.drafted, sum(each or 0 for each in drafts))
        for name, (told, found) in sums.items():
            if told is None:
                continue
            compared += 1
            if told != found:
                wrong.append(f"request {number}: {name} is {told} and its rounds say {found}")
    if not compared:
        return Check(COUNTS, "not applicable", "Sums and rounds are not both reported.")
    if wrong:
        return Check(COUNTS, "failed", f"{'; '.join(wrong[:3])}.", {"wrong": float(len(wrong))})
    said = f"{compared} sums are those of the rounds."
    return Check(COUNTS, "passed", said, {"compared": float(compared)})


def _ratios(requests: Sequence[ImportedRequest]) -> Check:
    wrong, compared = list[str](), 0
    for number, request in enumerate(requests):
        values = definitions(totals_of(request))
        for name, told in request.reported.items():
            own = values[_OF_DEFINITION[name]].value
            if own is None:
                continue
            compared += 1
            if abs(own - told) > (_ROUNDED if " " in name else 1e-6):
                wrong.append(f"request {number}: {name} is {told:g}, its counts give {own:g}")
        means = request.position_rate
        steps, accepted = request.steps, request.accepted
        if means and steps and accepted is not None:
            compared += 1
            if abs(sum(means) - accepted / steps) > 0.001 * len(means):
                wrong.append(
                    f"request {number}: rates by position sum to {sum(means):.3f}, accepted / "
                    f"rounds is {accepted / steps:.3f}"
                )
    if not compared:
        return Check(RATIOS, "not applicable", "No ratio is reported beside its counts.")
    if wrong:
        return Check(RATIOS, "failed", f"{'; '.join(wrong[:3])}.", {"wrong": float(len(wrong))})
    said = f"{compared} reported ratios follow from the counts."
    return Check(RATIOS, "passed", said, {"compared": float(compared)})


def _tokens(requests: Sequence[ImportedRequest]) -> Check:
    """Compare the text's length with what rounds give: each its accepted tokens and one more.

    The text may be longer, by the prompt's own token and by passes that drafted nothing, which
    engines do not count as rounds; it may be shorter by what the last round lost.
    """
    wrong, compared, beside = list[str](), 0, 0
    for number, request in enumerate(requests):
        totals: Totals = totals_of(request)
        if totals.tokens is None or totals.rounds is None or totals.accepted is None:
            continue
        given = totals.accepted + totals.rounds
        compared += 1
        beside += max(0, totals.tokens - given)
        deepest = max((each.accepted for each in request.rounds), default=given)
        if totals.rounds and totals.tokens < given - deepest:
            wrong.append(
                f"request {number}: {totals.tokens} new tokens, and its rounds give {given}"
            )
    if not compared:
        return Check(TOKENS, "not applicable", "Rounds and new tokens are not both reported.")
    if wrong:
        return Check(TOKENS, "failed", f"{'; '.join(wrong[:3])}.", {"wrong": float(len(wrong))})
    said = (
        f"No text of {compared} is shorter than its rounds give, a cut in the last one aside; "
        f"tokens of passes that are not counted as rounds: {beside}."
    )
    return Check(TOKENS, "passed", said, {"compared": float(compared), "beside": float(beside)})
