"""The answer to a quality line: the smallest budget of each policy, and how sure that is."""

import re
from collections.abc import Iterator, Sequence

from tokenarium.backend import BudgetChoice, ChosenBudget, SweepRequest, SweepResult
from tokenarium.backend import budget_settings as settings_of
from tokenarium.ui.components.table import Cell, Column, Copy, Link, Number, Numbers, table_html
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import source

NOTHING = "\N{EN DASH}"
FULL = 0
"""The number of the full cache among the policies of a sweep."""
NOISE = 1e-6
"""Below what single precision can tell from nothing."""
CAPTION = "The smallest budget of each policy that holds the line"
SURE = (
    "How sure: “at least” is the lower bound of Clopper and Pearson (1934) on the share of such "
    "exercises that hold the line; between the ends of the median's interval stand order "
    "statistics (Thompson, 1936). Both hold whatever the distribution, for exercises drawn "
    "alike, with 95 % confidence for all budgets of a policy together (Bonferroni); they say "
    "nothing of other tasks or lengths."
)


def budget_answer(
    result: SweepResult,
    request: SweepRequest,
    choice: BudgetChoice,
    *,
    timed: bool,
    run_id: str = "",
) -> str:
    """Return sentence, table and what they rest on, as HTML; every number opens.

    Args:
        result: of the sweep.
        request: of the sweep.
        choice: of ``result.choose``.
        timed: whether its times are those of this machine.
        run_id: of the sweep.
    """
    if not choice.budgets:
        return f'<p class="tk-sentence">Line: {escape(choice.words)}. No point has a score.</p>'
    rows = [_row(result, request, place, own, timed) for place, own in enumerate(choice.budgets)]
    notes = "".join(
        f'<p class="tk-sub">{note.html}</p>'
        for note in (
            *_unscored(result, choice),
            *_whys(choice),
            *_notes(result, request, choice, timed, run_id),
        )
    )
    return (
        f'<p class="tk-sentence">{sentence(choice).html}</p>'
        f"{table_html(_columns(result, timed), rows, CAPTION, '')}{notes}"
    )


def sentence(choice: BudgetChoice) -> Numbers:
    """Return which policies hold the line with how little, and which do not."""
    full = choice.budgets[0]
    line = f"Line: {choice.words}. "
    if full.policy == FULL and full.ratio is None:
        value = Number(f"{full.value:.3g}", source("value", 0))
        end = "): no policy can be judged by this line."
        return Numbers((line, "The full cache itself does not hold it (", value, end))
    others = [own for own in enumerate(choice.budgets) if own[1].policy != FULL]
    holding = sorted((own for own in others if own[1].ratio is not None), key=_ratio)
    missing = [own.title for _, own in others if own.ratio is None]
    if not holding:
        return Numbers((line, "No policy holds it at a budget that was measured."))
    verb = "holds" if len(missing) == 1 else "hold"
    none = f" {_listed(missing)} {verb} it at no budget that was measured." if missing else ""
    held: list[str | Number] = []
    for place, own in holding:
        held += [", " if held else "Held by ", f"{own.title} with "]
        held.append(Number(f"{own.ratio:.0%}", source("budget", place)))
    return Numbers((line, *held, f" of the prompt.{none}"))


def _columns(result: SweepResult, timed: bool) -> list[Column]:
    lengths = [] if result.bytes_at_tokens is None else result.bytes_at_tokens.tolist()
    return [
        Column("policy", "Press it to open the run of this point above."),
        Column("smallest budget", "Share of the prompt; all larger ones that were measured hold."),
        Column("mean", "Over the exercises, as drawn."),
        Column("median", "Over the exercises, with its interval by order statistics."),
        Column("exercises that hold it", "Each by itself, and what that says of others like them."),
        Column("cache", "Bytes held in the sweep, mean."),
        *(
            Column(f"at {length:,} tokens", "Computed from the model's sizes.")
            for length in lengths
        ),
        *([Column("ms per token", "Median, measured on this machine.")] if timed else []),
        Column("copy for Python", "With tokenarium.apply, for any model of transformers."),
        Column("copy for kvpress", "The nearest press; compression_ratio is 1 - budget."),
    ]


def _row(
    result: SweepResult, request: SweepRequest, place: int, own: ChosenBudget, timed: bool
) -> Sequence[Cell]:
    lengths = [] if result.bytes_at_tokens is None else result.bytes_at_tokens.tolist()
    mean = Number(_number(own.value), source("value", place))
    if own.ratio is None or own.point is None:
        blank = [NOTHING] * (4 + len(lengths) + timed)
        tried = Numbers(("none of ", Number(str(own.measured), source("measured", place))))
        return [own.title, tried, Numbers((mean, " at the largest")), *blank, NOTHING]
    copied = settings_of(request, result, own)
    return [
        Link(own.title, {"point": own.point}),
        Number(f"{own.ratio:.0%}", source("budget", place)),
        mean,
        _median(own, place),
        _sure(own, place),
        Number(_size(own.cache_bytes), source("cache", place)),
        *(Number(_size(own.bytes_at[n]), source("bytes_at", place, n)) for n in lengths),
        *([Number(f"{own.step_ms:.1f}", source("step_ms", place))] if timed else []),
        Copy("Python", copied.python),
        Copy("kvpress", copied.kvpress),
    ]


def _median(own: ChosenBudget, place: int) -> Cell:
    if own.median is None:
        return NOTHING
    median = Number(_number(own.median), source("median", place))
    if own.interval is None:
        return median
    low, high = (
        Number(_number(end), source("median_end", place, at)) for at, end in enumerate(own.interval)
    )
    return Numbers((median, " (", low, " to ", high, ")"))


def _sure(own: ChosenBudget, place: int) -> Cell:
    if own.holding is None:
        return NOTHING
    holding = Number(str(own.holding), source("holding", place))
    found = (holding, " of ", Number(str(own.exercises), source("exercises", place)))
    if own.share is None:
        return Numbers(found)
    share = Number(f"{own.share:.0%}", source("at_least", place))
    return Numbers((*found, "; at least ", share, " of such exercises"))


def _unscored(result: SweepResult, choice: BudgetChoice) -> Iterator[Numbers]:
    """Yield which policies were measured and have no score, such as one of 0 / 0."""
    known = {own.policy for own in choice.budgets}
    measured = {int(p) for p, why in zip(result.policy, result.refused, strict=True) if not why}
    for title in (result.titles[policy] for policy in sorted(measured - known)):
        yield Numbers((f"No score of {title} is known: nothing is said of it.",))


def _whys(choice: BudgetChoice) -> Iterator[Numbers]:
    """Yield what cannot be said, each once: how many exercises were tried, and how few are few."""
    # The full cache has one budget: what few others take is said of policies, if any holds.
    told = [(place, own) for place, own in enumerate(choice.budgets) if own.why]
    told = [one for one in told if one[1].policy != FULL] or told
    whys = {own.why: place for place, own in reversed(told)}
    for why, place in reversed(whys.items()):
        of = iter((source("exercises", place), source("fewest", place)))
        parts = re.split(r"(\d+)", f"{why[0].upper()}{why[1:]}.")
        yield Numbers(tuple(Number(p, next(of)) if at % 2 else p for at, p in enumerate(parts)))


def _notes(
    result: SweepResult, request: SweepRequest, choice: BudgetChoice, timed: bool, run_id: str
) -> Iterator[Numbers]:
    def of(value: float, field: str, *index: int) -> Number:
        return Number(f"{value:,.0f}", source(field, *index), run_id)

    if any(own.share is not None for own in choice.budgets):
        yield Numbers((SURE,))
    prompt = of(float(result.budget_tokens[0]), "budget_tokens", 0)
    said: list[str | Number] = ["Quality was measured at prompts of about ", prompt, " tokens"]
    if result.bytes_at_tokens is not None and result.context:
        said.append(f"; bytes of longer ones are computed, in {request.dtype}")
        lengths = enumerate(result.bytes_at_tokens.tolist())
        past = [of(n, "bytes_at_tokens", at) for at, n in lengths if n > result.context]
        for at, number in enumerate(past):
            said += [" (" if not at else " and " if at == len(past) - 1 else ", ", number]
        if past:
            context = of(result.context, "context")
            said += [" tokens are past the model's context of ", context, ")"]
    yield Numbers((*said, "."))
    if not timed:
        yield Numbers(("Times were not measured on this machine.",))


def _number(value: float) -> str:
    return "0" if abs(value) < NOISE else f"{value:.3g}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ratio(own: tuple[int, ChosenBudget]) -> float:
    return own[1].ratio or 1.0


def _size(count: float) -> str:
    if count >= 2**30:
        return f"{count / 2**30:.2f} GiB"
    return f"{count / 2**20:.2f} MiB" if count < 100 * 2**20 else f"{count / 2**20:.0f} MiB"
