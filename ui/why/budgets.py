"""What opens at numbers of the answer to a quality line: the budgets that hold it."""

from tokenarium.backend import BudgetChoice, Lab, Run
from tokenarium.ui.why.answer import Answer, AnswerNumber
from tokenarium.ui.why.explain import note

_OF = "At the policy's smallest budget that holds the line, as all larger ones do."
BUDGETS = {
    "budget": AnswerNumber(
        "smallest budget", f"Share of the prompt. {_OF}", "found.budgets[{0}].ratio"
    ),
    "value": AnswerNumber(
        "mean over exercises",
        "At the smallest budget that holds the line; at the largest one where none does.",
        "found.budgets[{0}].value",
    ),
    "measured": AnswerNumber(
        "budgets that were measured", "Of this policy.", "found.budgets[{0}].measured"
    ),
    "median": AnswerNumber("median over exercises", _OF, "found.budgets[{0}].median"),
    "median_end": AnswerNumber(
        "end of the median's interval",
        f"By order statistics, 95 % for all budgets of the policy together. {_OF}",
        "found.budgets[{0}].interval[{1}]",
        paper="Thompson, 1936",
    ),
    "holding": AnswerNumber(
        "exercises that hold the line", f"Each by itself. {_OF}", "found.budgets[{0}].holding"
    ),
    "exercises": AnswerNumber("exercises", _OF, "found.budgets[{0}].exercises"),
    "fewest": AnswerNumber(
        "exercises that it takes",
        "From so many on, half of such exercises are sure to hold a line that all tried ones hold, "
        "95 % for all budgets of the policy together.",
        "found.budgets[{0}].fewest",
        paper="Clopper and Pearson, 1934",
    ),
    "at_least": AnswerNumber(
        "share of such exercises",
        f"At least so many hold the line, 95 % for all budgets of the policy together. {_OF}",
        "found.budgets[{0}].share",
        paper="Clopper and Pearson, 1934",
    ),
    "cache": AnswerNumber(
        "cache", f"Bytes held, mean. {_OF}", "found.budgets[{0}].cache_bytes", "bytes"
    ),
    "bytes_at": AnswerNumber(
        "cache of a longer prompt",
        "Computed from the model's sizes, at this budget and so many tokens.",
        "found.budgets[{0}].bytes_at[{1}]",
        "bytes",
    ),
    "step_ms": AnswerNumber("time per token", f"Median. {_OF}", "found.budgets[{0}].step_ms", "ms"),
}
"""By name, what the table marks."""


def of_budgets(lab: Lab, run: Run, choice: BudgetChoice) -> Answer:
    """Return the answer to a quality line of a stored sweep."""
    line = "at_least" if choice.higher else "at_most"
    lines = (
        "from tokenarium import Lab",
        "",
        f'result = Lab().open("{run.id}").result',
        f'found = result.choose("{choice.measure}", {line}={choice.line!r})',
    )
    return Answer(BUDGETS, lambda: {"found": choice}, lines, note(lab, run))
