"""What a speculative run adds up to, in words and tables; its audit; which rules are right."""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal

import numpy as np

from tokenarium.backend import (
    LEAST_SAMPLES,
    Drafter,
    RuleBiases,
    SpeculationResult,
    SpeculationVerdict,
    levels,
    pace,
    replay_round,
    speculation_verdict,
)
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import by_model, escape, many
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import marked

Draw = Literal["deterministic", "iid", "without_replacement"]
VERDICTS = {
    "passed": ("✓", "passed"),
    "failed": ("✕", "failed"),
    "numeric tie": ("≈", "numeric tie"),
    "not applicable": ("/", "not applicable"),
}
HOW: dict[Draw, str] = {
    "deterministic": "picked without chance",
    "iid": "drawn independently",
    "without_replacement": "drawn without repeats",
}
_EXACT = 1e-12


def speculate_sentence(result: SpeculationResult, model: str = "") -> str:
    """Return whether guessing ahead paid, as HTML, and what happened.

    Args:
        result: of the run in sight.
        model: name of the large one; the run bar may hold another one.
    """
    rounds = len(result.rounds)
    checked, accepted = int(result.rounds["verified"].sum()), int(result.accepted_in_text.sum())
    found = speculation_verdict(result)
    said = _judgement(result, found) if isfinite(pace(result).speedup) else ""
    same = {
        "lossless": "Its text is distributed exactly as the large model's own.",
        "relaxed": "Its text may be distributed otherwise than the large model's.",
    }[result.promise]
    tokens = number(many(len(result.token_ids), "token"), source("new_tokens"))
    passes = number(many(rounds, "pass", "passes"), source("passes"))
    guesses = number(many(checked, "guess", "guesses"), source("verified"))
    counted = (
        f"<b>{tokens} in {passes}</b> of the large model{by_model(model)}, {_a_pass(result)} a "
        f"pass: {number(f'{accepted}', source('accepted'))} of {guesses} accepted."
    )
    if not said:
        return f'<p class="tk-sentence">{counted}</p>'
    return (
        f'<p class="tk-sentence">{said} {same}</p><p class="tk-sub">{counted}{_how_sure(found)}</p>'
    )


def _judgement(result: SpeculationResult, found: SpeculationVerdict | None) -> str:
    """Return whether it paid; that is left open where intervals overlap or samples are few."""
    if found is None:
        n = min(len(result.rounds), len(result.plain_ids))
        of = "passes" if n == len(result.rounds) else "plain_steps"
        passes = number(f"{n}", source(of))
        return (
            f"With guesses the text came {_times(pace(result).speedup)} than by plain decoding"
            f"{_because(result)}. From n = {passes} passes, fewer than {LEAST_SAMPLES}, it cannot "
            "be said whether guessing ahead pays."
        )
    if not found.decided:
        return (
            "Whether guessing ahead pays here <b>cannot be said</b>: a token took "
            f"{number(f'{found.drafted.value:.1f} ms', source('drafted_ms'))} with guesses and "
            f"{number(f'{found.plain.value:.1f} ms', source('plain_ms'))} without, "
            "and their intervals overlap."
        )
    pays = "pays" if found.speedup >= 1 else "does not pay"
    return (
        f"Guessing ahead <b>{pays}</b> here: on this machine the text came "
        f"<b>{_times(found.speedup)}</b> than plain decoding{_because(result)}."
    )


def _times(speedup: float) -> str:
    if speedup >= 1:
        return f"{number(f'{speedup:.2f} times', source('speedup'))} faster"
    return f"{number(f'{1 / speedup:.2f} times', source('slowdown'))} slower"


def _a_pass(result: SpeculationResult) -> str:
    calls = result.tokens_per_target_call
    return number(f"{calls:.2f}", source("tokens_a_pass")) if isfinite(calls) else f"{calls}"


def _how_sure(found: SpeculationVerdict | None) -> str:
    if found is None:
        return ""
    with_, without = found.drafted, found.plain
    ends = {
        "drafted_low": with_.low,
        "drafted_high": with_.high,
        "plain_low": without.low,
        "plain_high": without.high,
    }
    low, high, plain_low, plain_high = (
        number(f"{value:.1f}", source(name)) for name, value in ends.items()
    )
    rounds = number(f"{with_.n}", source("drafted_n"))
    steps = number(f"{without.n}", source("plain_n"))
    return (
        f" n = {rounds} rounds and {steps} plain steps; 95% intervals "
        f"{low} to {high} and {plain_low} to {plain_high} ms a token."
    )


def _because(result: SpeculationResult) -> str:
    """Return why a run was slower than autoregressive decoding, or gained more than its tokens."""
    found, calls = pace(result), result.tokens_per_target_call
    if found.speedup > calls:
        return _faster_passes(result)
    if found.speedup >= 1:
        return ""
    drafting, verifying = (ms * calls / found.plain_ms for ms in (found.draft_ms, found.verify_ms))
    return (
        f": a round drafts for {number(f'{drafting:.1f}', source('draft_cost'))} and verifies for "
        f"{number(f'{verifying:.1f}', source('verify_cost'))} times as long as one plain token "
        f"takes, and gives {_a_pass(result)} tokens"
    )


def _faster_passes(result: SpeculationResult) -> str:
    """Return why a pass over several tokens can take less time than one over a single token."""
    several = float(np.median(result.rounds["verify_ms"]))
    one = float(np.median(result.plain_step_ms))
    tokens = 1 + float(result.rounds["verified"].mean())
    return (
        f", more than its {_a_pass(result)} tokens a pass: reading one token "
        f"took {number(f'{one:.1f} ms', source('plain_median'))}, a verifying pass over "
        f"{number(f'{tokens:.1f}', source('verified_width'))} tokens "
        f"{number(f'{several:.1f} ms', source('verify_median'))}. In "
        "bfloat16 SmolLM2-135M reads 2, 4 and 8 tokens in 1.12, 1.12 and 1.19 times as long as one "
        "(AMD EPYC Zen 4, one thread): unless this processor is slower at a single row, what is "
        "above the tokens a pass is noise of the timing"
    )


def measures_table(result: SpeculationResult) -> str:
    """Return the numbers of a run with the definition of each, also of those others use."""
    rounds, new = len(result.rounds), len(result.token_ids)
    accepted = int(result.accepted_in_text.sum())
    drafted, verified = (int(result.rounds[name].sum()) for name in ("drafted", "verified"))
    found, time = levels(result), pace(result)
    rows: list[list[Cell]] = [
        ["tokens per target call", _ratio(new, rounds, "tokens_a_pass"),
         "new tokens / passes of the target; the bonus or replacement of each round counted, the "
         "prompt's pass not"],
        ["mean accepted length", _ratio(accepted, rounds, "accepted_a_round"),
         "accepted guesses / rounds; without the token that follows them, and none after the end "
         "of the text"],
        ["mean acceptance length (vLLM)", _ratio(accepted + rounds, rounds, "acceptance_length"),
         "1 + accepted guesses / rounds; differs from the first where the text was cut"],
        ["acceptance rate a", _number(found.acceptance, "acceptance_rate"),
         "levels at which a guess was accepted / levels tested; the a of the break-even"],
        ["accepted of verified", _ratio(accepted, verified, "accepted_share"),
         "accepted guesses / verified guesses; the rate of LayerSkip and of llama.cpp; low for "
         "wide trees, by design"],
        ["wasted guesses", _ratio(verified - accepted, verified, "wasted_share"),
         "verified and not accepted / verified"],
        ["left out unverified", _ratio(drafted - verified, drafted, "pruned_share"),
         "drafted, then dropped to keep to the budget / drafted"],
        ["tokens per second", _number(result.tokens_per_s, "tokens_per_s", 1),
         "drafting, verifying and bookkeeping; the prompt not counted"],
        ["plain, same run", _number(result.plain_tokens_per_s, "plain_tokens_per_s", 1),
         "tokens per second of the same model without drafts"],
        ["speed-up", _number(time.speedup, "speedup"), "the two above, divided"],
        ["bookkeeping", _ratio(time.other_ms, time.total_ms, "bookkeeping", "%"),
         "time neither in the draft nor in the target / time of the rounds"],
    ]  # fmt: skip
    columns = (Column("measure"), Column("here"), Column("defined as"))
    return table_html(columns, rows, "What this run adds up to", "No rounds.")


def others_table(result: SpeculationResult, titles: Mapping[str, str]) -> str:
    """Return what every rule would have accepted of the same trees, the run's own first."""
    rows: list[tuple[float, list[Cell]]] = []
    for place, rule in enumerate(result.rules):
        replayed = [replay_round(result, rule, number) for number in range(len(result.rounds))]
        known = [one for one in replayed if one is not None]
        if not known:
            continue
        mean = sum(len(one.path) for one in known) / len(known)
        own = " (this run)" if rule == result.rule else ""
        judged = Number(str(len(known)), source("replayed_rounds", place))
        accepted = Number(f"{mean:.2f}", source("replayed_mean", place))
        rows.append((mean, [titles.get(rule, rule) + own, accepted, judged]))
    if len(rows) < 2:
        return ""
    columns = (
        Column("rule"),
        Column("accepted a round", "Mean accepted guesses; the token that follows not counted."),
        Column("rounds", "Trees it could judge."),
    )
    ranked = [row for _, row in sorted(rows, key=lambda row: -row[0])]
    caption = "The same trees and the same numbers drawn, judged by other rules; no model is asked"
    return table_html(columns, ranked, caption, "")


ABOUT = (
    "Whether this run can be what the large model alone would say; computed again from what was "
    "recorded, after the run."
)


def audit_badge(audit: Mapping[str, Any], about: str = ABOUT) -> str:
    """Return the verdict with every check and its evidence; ``about`` says what is asked."""
    if not audit:
        return ""
    sign, word = VERDICTS[audit["verdict"]]
    checks = "".join(
        f'<li class="tk-check" data-verdict="{escape(check["verdict"])}">'
        f"<i>{VERDICTS[check['verdict']][0]}</i><b>{_worded(check['name'])}</b> "
        f"<span>{escape(check['verdict'])}</span>"
        f"<p>{marked(_plain(check['evidence']), 'audit', '', place)}</p></li>"
        for place, check in enumerate(audit["checks"])
    )
    return (
        f'<section class="tk-audit"><h2>Audit <span class="tk-verdict" '
        f'data-verdict="{escape(audit["verdict"])}">{sign} {word}</span></h2>'
        f'<p class="tk-sub">{escape(about)}</p><ul>{checks}</ul></section>'
    )


def audit_link(run_id: str | None) -> str:
    """Return a link that opens the Audit page with the run's prompt, text and settings."""
    if not run_id:
        return ""
    return (
        f'<p class="tk-sub"><a href="audit?of={escape(run_id)}">Audit this run\'s text</a> as if '
        "another engine had written it.</p>"
    )


def _worded(stored: str) -> str:
    return escape(_plain(stored))


def _plain(stored: str) -> str:
    """Return what a check says, in the words of the page; stored checks keep their own."""
    return re.sub(r"\blaw\b", "distribution", stored)


def bias_table(biases: Sequence[RuleBiases], drafters: Sequence[type[Drafter]]) -> str:
    """Return how far every rule is from the target's distribution, by how children are drawn."""
    columns = [Column("rule"), *(Column(how.capitalize()) for how in HOW.values())]
    rows: list[list[Cell]] = [
        [
            found.title,
            *(_bias(found.by_draw[draw], (row, [*found.by_draw].index(draw))) for draw in HOW),
        ]
        for row, found in enumerate(biases)
    ]
    drawing = [[drafter.title for drafter in drafters if drafter.draw == draw] for draw in HOW]
    rows.append(["drafters that draw so", *(", ".join(titles) or "none" for titles in drawing)])
    one = biases[0].by_draw["iid"]
    caption = Numbers(
        (
            "Total variation distance of the next token's distribution from the target's, mean "
            "(largest) over ",
            Number(f"{one.pairs}", source("pairs")),
            " random pairs of distributions of ",
            Number(f"{one.vocabulary}", source("vocabulary")),
            " tokens, every draw of ",
            Number(f"{one.children}", source("children")),
            " guesses gone through. Exact means below 1e-12.",
        )
    )
    return table_html(columns, rows, caption, "")


def _bias(found: Any, place: tuple[int, int]) -> Cell:
    if found.largest < _EXACT:
        return "✓ exact"
    mean = Number(f"{found.mean:.2f}", source("mean", *place))
    return Numbers(
        ("✕ ", mean, " (", Number(f"{found.largest:.2f}", source("largest", *place)), ")")
    )


def _ratio(part: float, whole: float, name: str, unit: str = "") -> Cell:
    if not whole:
        return "n/a"
    share = part / whole
    return Number(f"{share:.1%}" if unit else f"{share:.2f}", source(name))


def _number(value: float, name: str, digits: int = 2) -> Cell:
    return Number(f"{value:.{digits}f}", source(name)) if isfinite(value) else "n/a"
