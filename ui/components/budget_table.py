"""The answer to a quality line: the smallest budget of each policy, and how sure that is."""

from collections.abc import Sequence

from tokenarium.backend import BudgetChoice, ChosenBudget, SweepRequest, SweepResult
from tokenarium.backend import budget_settings as settings_of
from tokenarium.ui.components.table import Cell, Column, Copy, Link, table_html
from tokenarium.ui.text import escape

NOTHING = "\N{EN DASH}"
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
    result: SweepResult, request: SweepRequest, choice: BudgetChoice, *, timed: bool
) -> str:
    """Return sentence, table and what they rest on, as HTML.

    Args:
        result: of the sweep.
        request: of the sweep.
        choice: of ``result.choose``.
        timed: whether its times are those of this machine.
    """
    if not choice.budgets:
        return ""
    rows = [_row(result, request, own, timed) for own in choice.budgets]
    notes = "".join(
        f'<p class="tk-sub">{escape(note)}</p>' for note in _notes(result, request, choice, timed)
    )
    return (
        f'<p class="tk-sentence">{escape(sentence(choice))}</p>'
        f"{table_html(_columns(result, timed), rows, CAPTION, '')}{notes}"
    )


def sentence(choice: BudgetChoice) -> str:
    """Return which policies hold the line with how little, and which do not."""
    full, *others = choice.budgets
    line = choice.words
    if full.ratio is None:
        return (
            f"Line: {line}. The full cache itself does not hold it ({full.value:.3g}): no policy "
            "can be judged by this line."
        )
    holding = sorted((own for own in others if own.ratio is not None), key=_ratio)
    missing = [own.title for own in others if own.ratio is None]
    if not holding:
        return f"Line: {line}. No policy holds it at a budget that was measured."
    held = ", ".join(f"{own.title} with {_ratio(own):.0%}" for own in holding)
    verb = "holds" if len(missing) == 1 else "hold"
    none = f" {_listed(missing)} {verb} it at no budget that was measured." if missing else ""
    return f"Line: {line}. Held by {held} of the prompt.{none}"


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
    result: SweepResult, request: SweepRequest, own: ChosenBudget, timed: bool
) -> Sequence[Cell]:
    lengths = [] if result.bytes_at_tokens is None else result.bytes_at_tokens.tolist()
    if own.ratio is None or own.point is None:
        blank = [NOTHING] * (4 + len(lengths) + timed)
        largest = f"{own.value:.3g} at the largest"
        return [own.title, f"none of {own.measured}", largest, *blank, NOTHING]
    copied = settings_of(request, result, own)
    return [
        Link(own.title, {"point": own.point}),
        f"{own.ratio:.0%}",
        _number(own.value),
        _median(own),
        _sure(own),
        _size(own.cache_bytes),
        *(_size(own.bytes_at[length]) for length in lengths),
        *([f"{own.step_ms:.1f}"] if timed else []),
        Copy("Python", copied.python),
        Copy("kvpress", copied.kvpress),
    ]


def _median(own: ChosenBudget) -> str:
    if own.median is None:
        return NOTHING
    if own.interval is None:
        return _number(own.median)
    return f"{_number(own.median)} ({' to '.join(map(_number, own.interval))})"


def _sure(own: ChosenBudget) -> str:
    if own.holding is None:
        return NOTHING
    found = f"{own.holding} of {own.exercises}"
    return found if own.share is None else f"{found}; at least {own.share:.0%} of such exercises"


def _notes(
    result: SweepResult, request: SweepRequest, choice: BudgetChoice, timed: bool
) -> list[str]:
    whys = list(dict.fromkeys(own.why for own in choice.budgets if own.why))
    notes = [f"{why[0].upper()}{why[1:]}." for why in whys]
    if any(own.share is not None for own in choice.budgets):
        notes.append(SURE)
    prompt = float(result.budget_tokens[0])
    said = f"Quality was measured at prompts of about {prompt:,.0f} tokens"
    if result.bytes_at_tokens is not None and result.context:
        said += f"; bytes of longer ones are computed, in {request.dtype}"
        past = [f"{n:,}" for n in result.bytes_at_tokens.tolist() if n > result.context]
        if past:
            said += f" ({_listed(past)} tokens are past the model's context of {result.context:,})"
    notes.append(f"{said}.")
    if not timed:
        notes.append("Times were not measured on this machine.")
    return notes


def _number(value: float) -> str:
    return "0" if abs(value) < NOISE else f"{value:.3g}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _ratio(own: ChosenBudget) -> float:
    return own.ratio or 1.0


def _size(count: float) -> str:
    if count >= 2**30:
        return f"{count / 2**30:.2f} GiB"
    return f"{count / 2**20:.2f} MiB" if count < 100 * 2**20 else f"{count / 2**20:.0f} MiB"
