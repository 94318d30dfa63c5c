"""Facts of a run that a lesson asks for: computed from it whenever somebody answers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, isfinite

import numpy as np

from tokenarium.ui.lessons.seen import Seen


@dataclass(frozen=True)
class Fact:
    """What is right, the sentence that says so, and where on the page it stands."""

    value: float | str
    said: str
    where: str


def sink_heads(seen: Seen) -> Fact:
    """Count the heads that give the first token more than 30 % of their attention."""
    scores = seen.trace.sink_score
    count = int((scores > 0.3).sum())
    return Fact(
        count,
        f"{count} of {int(np.isfinite(scores).sum())} heads do.",
        "the sentence over the grid counts them, with the threshold at 0.3",
    )


def value_of_first(seen: Seen) -> Fact:
    """Say whether the value vector of the first token is shorter than the others' usually are."""
    norms = seen.trace.value_norm
    ratio = float(np.nanmedian(norms[..., 0] / np.nanmedian(norms[..., 1:], axis=-1)))
    return Fact(
        "little" if ratio < 1 else "much",
        f"In the median head its value is {ratio:.2f} times as long as the median token's.",
        "look at the value norm in the table under the grid: below 1 it is shorter than others",
    )


def tokens(seen: Seen) -> Fact:
    """Count the tokens of the text."""
    result = seen.trace
    words = len((result.text or "").split())
    return Fact(
        result.length,
        f"{words} words are {result.length} tokens.",
        "the small line under the sentence at the top says how many tokens were read",
    )


def likely_next(seen: Seen) -> Fact:
    """Return how many equally likely tokens the entropy after the chosen token amounts to."""
    place = seen.chosen.token
    nats = float(seen.trace.entropy_nats[place])
    return Fact(
        exp(nats),
        f"e to the {nats:.2f} is {exp(nats):.1f}: so many equally likely next tokens.",
        "read *entropy after it* on the card of the chosen token, and take e to its power",
    )


def tokens_a_pass(seen: Seen) -> Fact:
    """Return how many new tokens a pass of the large model gave."""
    found = seen.speculation.tokens_per_target_call
    return Fact(found, f"{found:.2f} tokens a pass.", "the small line at the top says it: a pass")


def same_text(seen: Seen) -> Fact:
    """Say whether the text is, token by token, what the large model writes alone."""
    result = seen.speculation
    same = np.array_equal(result.plain_ids, result.token_ids[: len(result.plain_ids)])
    rejected = int((result.nodes["status"] == "rejected").sum())
    return Fact(
        "same" if same else "other",
        f"{rejected} guesses were wrong, and the text is {'the same' if same else 'another one'}, "
        f"all {len(result.token_ids)} tokens of it.",
        "every wrong guess was replaced by the large model's own token",
    )


def faster(seen: Seen) -> Fact:
    """Say whether drafting was faster than the large model alone, in this run."""
    result = seen.speculation
    ratio = result.tokens_per_s / result.plain_tokens_per_s
    return Fact(
        "faster" if ratio > 1 else "slower",
        f"It wrote at {ratio:.1f} times the pace of the large model alone.",
        "the sentence at the top says whether guessing ahead paid",
    )


def full_mib(seen: Seen) -> Fact:
    """Return what the full cache takes at the end, in MiB."""
    result = seen.cache
    run = dict(zip(result.policies, result.runs, strict=True))["full"]
    mib = float(run.cache_bytes[-1]) / 2**20
    return Fact(
        mib, f"{mib:.2f} MiB.", "the table has a column *cache*, in MiB: read its first row"
    )


def mib_a_thousand(seen: Seen) -> Fact:
    """Return what a thousand tokens take in the full cache, in MiB."""
    result = seen.cache
    run = dict(zip(result.policies, result.runs, strict=True))["full"]
    held = len(result.prompt_ids) + run.steps - 1
    mib = float(run.cache_bytes[-1]) / 2**20 / held * 1000
    return Fact(
        mib,
        f"{held} tokens were held, so a thousand take {mib:.0f} MiB.",
        f"divide the MiB of the full cache by the {held} tokens it holds, times 1000",
    )


def best_at_half(seen: Seen) -> Fact:
    """Return the policy with most right answers at half of the memory."""
    rows = [
        (int(seen.sweep.correct[n]), seen.sweep.policies[seen.sweep.policy[n]]) for n in _half(seen)
    ]
    right, policy = max(rows)
    title = seen.sweep.titles[seen.sweep.policies.index(policy)]
    return Fact(
        policy,
        f"{title} was right {right} times.",
        "in the table under the figures, compare the column *right* in the rows of 50%",
    )


def surely_best(seen: Seen) -> Fact:
    """Say whether the interval of the best policy at half of the memory lies above all others."""
    sweep, half = seen.sweep, _half(seen)
    best = max(half, key=lambda n: (int(sweep.correct[n]), float(sweep.accuracy[n])))
    sure = all(sweep.accuracy_low[best] > sweep.accuracy_high[n] for n in half if n != best)
    low, high = float(sweep.accuracy_low[best]), float(sweep.accuracy_high[best])
    return Fact(
        "yes" if sure else "no",
        f"With {int(sweep.trials[best])} trials its accuracy could be {low:.2f} to {high:.2f}, and "
        f"the others' intervals {'lie below' if sure else 'overlap with that'}.",
        "the column *accuracy* has intervals in brackets: do those of two policies overlap",
    )


def _half(seen: Seen) -> list[int]:
    sweep = seen.sweep
    return [n for n in range(len(sweep.policy)) if abs(float(sweep.ratio[n]) - 0.5) < 1e-3]


FACTS: dict[str, Callable[[Seen], Fact]] = {
    each.__name__: each
    for each in (
        sink_heads,
        value_of_first,
        tokens,
        likely_next,
        tokens_a_pass,
        same_text,
        faster,
        full_mib,
        mib_a_thousand,
        best_at_half,
        surely_best,
    )
}


def number(text: str) -> float:
    """Return a number as a student typed it; NaN where it is none."""
    try:
        found = float(text.strip().removesuffix("%").replace(",", ".") or "nan")
    except ValueError:
        return float("nan")
    return found if isfinite(found) else float("nan")
