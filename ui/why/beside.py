"""What opens at numbers that a comparison makes of several runs: means, intervals, alignments."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import Lab, RunComparison
from tokenarium.ui.why.answer import Answer, AnswerNumber
from tokenarium.ui.why.explain import note

_MEAN = "Of the places that are compared, by the chosen measure; batch means (Schmeiser, 1982)."
_ALIGNED = "Of the text beside the one that it is compared with."
BESIDE = {
    "value": AnswerNumber(
        "value of a run at a place",
        "By the measure that is chosen.",
        "found.measure(measure).values[{0}, {1}]",
        axes="[run, place]",
    ),
    "largest": AnswerNumber(
        "largest difference at a place",
        "Of a run from the one that it is compared with.",
        "np.nanmax(np.abs(found.difference(measure)[:, {0}]))",
    ),
    "head": AnswerNumber(
        "value of a head in a run",
        "By the measure of heads that is chosen.",
        "list(found.heads.values())[{0}][{1}, {2}, {3}]",
        axes="[run, layer, head]",
    ),
    "compared": AnswerNumber(
        "compared places",
        "Where a run and the one that it is compared with both have a number.",
        "found.compared(measure)",
    ),
    "mean": AnswerNumber("mean of a run, or of its difference", _MEAN, "means[{0}].value"),
    "mean_size": AnswerNumber(
        "size of a mean difference", _MEAN, "max(means[{0}].value, -means[{0}].value)"
    ),
    "low": AnswerNumber("lower end of the 95 % interval", _MEAN, "means[{0}].low"),
    "high": AnswerNumber("upper end of the 95 % interval", _MEAN, "means[{0}].high"),
    "n": AnswerNumber("places of a mean", _MEAN, "means[{0}].n"),
    "second_aligned": AnswerNumber(
        "aligned tokens", _ALIGNED, "found.alignments[{0}].second_aligned", "tokens"
    ),
    "second_tokens": AnswerNumber(
        "tokens", _ALIGNED, "found.alignments[{0}].second_tokens", "tokens"
    ),
    "first_aligned": AnswerNumber(
        "aligned tokens of the first text",
        "Those that have a counterpart.",
        "found.alignments[{0}].first_aligned",
        "tokens",
    ),
    "first_tokens": AnswerNumber(
        "tokens of the first text",
        "All of them.",
        "found.alignments[{0}].first_tokens",
        "tokens",
    ),
}


def of_comparison(lab: Lab, found: RunComparison, measure: str) -> Answer:
    """Return what is said of runs beside each other by one measure."""
    ids = [run.id for run in found.runs]
    lines = (
        "from tokenarium import Lab",
        "",
        f"found = Lab().compare({ids!r})",
        f"measure = {measure!r}",
        "means = found.mean(measure)",
    )
    noted = next(filter(None, (note(lab, run) for run in found.runs)), "")

    def values() -> Mapping[str, Any]:
        again = lab.compare(ids)
        return {"found": again, "measure": measure, "means": again.mean(measure)}

    return Answer(BESIDE, values, lines, noted)
