"""Whether drafting is expected to pay, said before Run."""

from tokenarium.backend import SpeculateEstimate, SpeculateRequest
from tokenarium.ui.components.cost_card import card
from tokenarium.ui.text import escape

FORMULA = "(1 - a^(g+1)) / ((1 - a)(g c + 1))"


def speculate_card(cost: SpeculateEstimate, asked: SpeculateRequest) -> str:
    """Return what Run will take and what it can save, as HTML."""
    guesses = f"up to {asked.draft_len} deep, {asked.tree_budget} in all, checked in one pass"
    facts = [
        ("Expected to pay", _verdict(cost)),
        ("Tokens", f"{asked.max_new_tokens:,} new at most, then the same decoded plainly"),
        ("Guesses", guesses),
    ]
    if caution := asked.drafter.drafter.caution:
        facts.append(("Pays", f"{asked.drafter.drafter.title} {caution}"))
    if not cost.runs:
        facts.append(("Break-even", "unknown before the first run of this pair on this machine"))
        return card("What Run will take", facts, _LAW)
    facts.append(
        ("Measured in", f"{cost.runs} earlier run{'s' * (cost.runs > 1)} of this pair here")
    )
    if cost.acceptance is not None:
        facts.append(("Acceptance a", f"{cost.acceptance:.0%} of the levels that were tested"))
    if cost.cost_ratio is not None and cost.expected is not None:
        facts += [
            ("Draft cost c", f"{cost.cost_ratio:.2f} of a pass of the large model"),
            ("Verifying costs", f"{cost.verify_ratio:.2f} passes that read a single token"),
            ("Break-even", _break_even(cost)),
            (
                "Expected",
                f"{cost.expected:.2f} times plain decoding, for chains of {cost.draft_len}; "
                f"{cost.expected_here:.2f} with what verifying costs here",
            ),
            ("Measured", f"{cost.measured:.2f} times plain decoding"),
        ]
    if cost.total_ms is not None:
        facts.append(("Time", f"about {cost.total_ms / 1e3:.1f} s in all"))
    return card("What Run will take", facts, _LAW)


def _verdict(cost: SpeculateEstimate) -> str:
    runs = f"{cost.runs} earlier run{'s' * (cost.runs != 1)}"
    if not cost.runs:
        return "unknown: this pair has not run on this machine yet"
    if cost.measured is None or cost.acceptance is None:
        return f"unknown: {runs} of this pair did not time plain decoding"
    return (
        f"{cost.pays}: {cost.measured:.2f} times plain decoding in {runs} of this pair here, at "
        f"{cost.acceptance:.0%} acceptance and {cost.cost_ratio:.2f} passes a drafted token"
    )


def _break_even(cost: SpeculateEstimate) -> str:
    if cost.break_even is None:
        return f"never at draft length {cost.draft_len}: drafting costs more than it can save"
    pays = cost.acceptance is not None and cost.acceptance > cost.break_even
    verdict = "drafting should pay" if pays else "drafting should not pay"
    return f"at {cost.break_even:.0%} acceptance: {verdict}"


_LAW = (
    '<div><p class="tk-sub">Speed-up of a chain of g guesses, if each is accepted with the same '
    "chance a and drafting one costs c passes of the large model:<br>"
    f"<code>{escape(FORMULA)}</code><br>Leviathan et al., 2022, arXiv:2211.17192. A pass that "
    "verifies is taken to cost what one of a single token does.</p></div>"
)
