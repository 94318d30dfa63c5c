"""What strategies take for granted about a model, and whether it holds there, in words."""

from tokenarium.backend import DecodedLane, DecodeResult, Strategy
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import marked

VERDICTS = {True: "holds", False: "does not hold here", None: "was not measured"}

NOTHING = "None of these strategies builds on something that is measured of a model."
UNMEASURED = "was not measured in this run"
IMPORTED = "Another server wrote this: what its model lacks cannot be measured here."


def premises(result: DecodeResult) -> str:
    """Return a line for each strategy that builds on something, as HTML."""
    lines = []
    for lane in result.lanes:
        premise = lane.premise
        if premise is None:
            if not result.imported and _builds_on_something(lane):
                lines.append(f"<li>What <b>{escape(lane.title)}</b> builds on {UNMEASURED}.</li>")
            continue
        verdict = f"<mark>{VERDICTS[False]}</mark>" if premise.holds is False else ""
        compared = ""
        if premise.holds is not None:
            value = number(f"{premise.value:.3g}", source("premise_value", lane.number))
            bound = number(f"{premise.bound:.3g}", source("premise_bound", lane.number))
            side = "at most" if premise.below else "at least"
            spent = many(lane.premise_passes, "pass", "passes")
            spent = number(spent, source("premise_passes", lane.number))
            compared = f" ({value}, it needs {side} {bound}; {spent})"
        lines.append(
            f"<li><b>{escape(lane.title)}</b> builds on this: {escape(premise.claim)}. "
            f"It {verdict or VERDICTS[premise.holds]}: "
            f"{marked(premise.measured, 'premise_words', '', lane.number, 1)}{compared}.</li>"
        )
    if not lines:
        return f'<p class="tk-sub">{IMPORTED if result.imported else NOTHING}</p>'
    return f'<ul class="tk-premises tk-sentence">{"".join(lines)}</ul>'


def _builds_on_something(lane: DecodedLane) -> bool:
    known = {each.slug: each for each in Strategy.registry.all()}
    return lane.strategy in known and known[lane.strategy]().builds_on_something
