"""An attribution in words and as coloured text; all text of a model or visitor is escaped."""

import math
from collections.abc import Iterable

import numpy as np
import orjson

from tokenarium.backend import (
    AblateResult,
    AttributeEstimate,
    AttributeRequest,
    AttributeResult,
    Attributor,
    Example,
    Faithfulness,
)
from tokenarium.ui.components.cost_card import card
from tokenarium.ui.shell.panel import Values
from tokenarium.ui.text import escape, many, one_line, visible
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import notes

LEVELS = 10
MOST_CLICKED = 1500
"""Tokens up to which each is a button."""
NEEDS = {
    "passes": "the model's probabilities alone",
    "gradients": "gradients: memory grows with the text",
    "attention": "the model's attention weights",
}


def own_contrast(examples: Iterable[Example], asked: Values) -> Values:
    """Return the token compared with, but for an example's once the text does not name it."""
    given = str(asked["text"] or "")
    theirs = {getattr(example.request, "against", None) for example in examples}
    stale = asked["against"] in theirs and str(asked["against"]) not in given
    return {"against": "" if stale else asked["against"]}


def attribution_map(result: AttributeResult, *, clicks: bool) -> str:
    """Return the text as HTML: amber made the target likelier, blue less likely.

    Args:
        result: the attribution.
        clicks: whether a click on a token asks for its own.
    """
    clicks = clicks and result.length <= MOST_CLICKED
    unit_of = np.full(result.length, -1)
    for unit, (start, stop) in enumerate(result.units.tolist()):
        unit_of[start:stop] = unit
    most = float(np.abs(result.scores).max(initial=0)) or 1.0
    parts = [_token(result, t, int(unit_of[t]), most, clicks) for t in range(result.length)]
    if result.target_position == result.length:
        parts.append(
            f'<span class="tk-unit tk-target">{escape(visible(result.target_text))}</span>'
        )
    hint = "Click a token to explain that one (arrows and Enter by keyboard). " if clicks else ""
    return (
        f'<p class="tk-sub">{hint}<span class="tk-key tk-pos"></span> made it likelier '
        f'<span class="tk-key tk-neg"></span> made it less likely '
        f'<span class="tk-key tk-target"></span> explained</p>'
        f'<div class="tk-attributed" role="group" aria-label="Text by score">{"".join(parts)}</div>'
    )


def _token(result: AttributeResult, t: int, unit: int, most: float, clicks: bool) -> str:
    classes, title = ["tk-unit"], ""
    if t == result.target_position:
        classes.append("tk-target")
        title = "explained"
    elif unit >= 0:
        score = float(result.scores[unit])
        level = min(LEVELS, math.ceil(LEVELS * abs(score) / most - 1e-9))
        classes += [f"tk-l{level}"] if level else []
        classes.append("tk-pos" if score >= 0 else "tk-neg")
        title = f"{one_line(result.unit_text[unit])[:80]}: {score:.4g} {result.score_unit}"
    elif t > result.target_position:
        classes.append("tk-later")
    named = f'class="{" ".join(classes)}" title="{escape(title)}"'
    text = escape(visible(result.token_text[t]))
    if not clicks or t == 0:
        return f"<span {named}>{text}</span>"
    told = escape(orjson.dumps({"point": t}).decode())
    # One stop of the tab key; arrows go on from there.
    stop = 0 if t == min(result.target_position, result.length - 1) else -1
    tab = f'tabindex="{stop}" data-unit="{unit}"'
    return f'<button type="button" {named} {tab} data-select="{told}">{text}</button>'


def attribution_sentence(result: AttributeResult) -> str:
    """Return what the map says and whether the check agrees, as HTML."""
    said = target_words(result)
    best = int(result.scores.argmax())
    if result.scores[best] > 0:
        unit = f" {result.score_unit}" if result.score_unit else ""
        said += (
            f" Most for it did <b>“{_quoted(result.unit_text[best])}”</b> "
            f"({number(f'{result.scores[best]:+.3g}{unit}', source('scores', best))})."
        )
    passes = number(many(result.passes, "text"), source("passes"))
    cost = f"{passes} read, {number(many(result.token_steps, 'token'), source('token_steps'))}."
    return (
        f'<p class="tk-sentence">{said} {verdict_words(result)}</p>'
        f'<p class="tk-sub">{cost} {notes(result)}</p>'
    )


def target_words(result: AttributeResult | AblateResult) -> str:
    """Return how likely the target was, or how much likelier than another token, as HTML."""
    target = f"<b>“{_quoted(result.target_text)}”</b>"
    if result.against_id < 0:
        return f"The model gave {target} {_chance(result.value_nats)}."
    times = math.exp(min(abs(result.value_nats), 700))
    more = "likelier" if result.value_nats >= 0 else "less likely"
    much = number(f"{times:.3g} times", source("target_times"))
    return f"{target} was {much} {more} than <b>“{_quoted(result.against_text)}”</b>."


def verdict_words(result: AttributeResult) -> str:
    """Return the check in one sentence, as HTML."""
    return verdict_said(result.faithfulness, "unit", result)


def verdict_said(found: Faithfulness, unit: str, result: AttributeResult | AblateResult) -> str:
    """Return a check in one sentence, as HTML.

    Args:
        found: the check.
        unit: the word for one of what is left out.
        result: what it is of.
    """
    k = number(f"{found.k}", source("check_k"))
    units = f"the highest {unit}" if found.k == 1 else f"the {k} highest {unit}s"
    what = "its log probability" if result.against_id < 0 else "that difference (ln)"
    others = "one at random" if found.k == 1 else f"{k} at random"
    drop = number(f"{found.drop:.2f} nats", source("check_drop_nats"))
    mean = number(f"{found.mean:.2f}", source("chance_drop"))
    said = f"Without {units} {what} falls by {drop}, without {others} by {mean} on average"
    if found.verdict == "too few units":
        sets = number(many(len(found.random), "set"), source("check_sets"))
        return f"{said}; with {sets} of {unit}s in all, chance cannot be told apart."
    p = number(f"{found.p:.2g}", source("check_p"))
    beats = "<b>beats chance</b>" if found.verdict == "beats chance" else (
        "<b>does not beat chance</b>: do not rely on it"
    )  # fmt: skip
    return f"{said}: this map {beats} (p = {p})."


def attribution_card(cost: AttributeEstimate, request: AttributeRequest) -> str:
    """Return what an attribution will take, as HTML."""
    title = next(m.title for m in Attributor.registry.all() if m.slug == request.method)
    time = "not known: this method never ran with this model on this machine"
    if cost.total_ms is not None:
        time = f"about {cost.total_ms / 1e3:.1f} s, from runs of this model on this machine"
    facts = (
        ("Text", f"{many(cost.tokens, 'token')} before the target, about {cost.units} units"),
        ("Passes", f"at most {many(cost.passes, 'text')} to read, the check included"),
        ("Needs", f"{title}: {NEEDS[cost.needs]}"),
        ("Time", time),
    )
    return card("What Run will take", facts, "")


def _quoted(text: str) -> str:
    said = one_line(text).strip() or one_line(text)
    return escape(said if len(said) <= 60 else f"{said[:59]}…")


def _chance(nats: float) -> str:
    chance = number(f"{100 * math.exp(nats):.3g} %", source("target_chance"))
    return f"{chance} (ln p = {number(f'{nats:.2f}', source('value_nats'))})"
