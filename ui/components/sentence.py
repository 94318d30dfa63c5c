"""The sentence that says what a run shows, filled from its numbers, and lines of status."""

import numpy as np

from tokenarium.backend import Event, ModelInfo, Progress, Queued, Run, TraceResult
from tokenarium.ui.characters import named
from tokenarium.ui.components.colouring import attention_share
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import notes

SHORTEST_FOR_SINKS = 64
"""Tokens below which no sink rate is stated: at 9 tokens even uniform attention passes 0.3."""

UNMEASURED = (
    "Its numbers differ from those of the original weights; by how much was not measured, as the "
    "original is not part of the package."
)
"""What an unpacked copy of quantised weights means for every number."""
PUBLISHED = (
    "The weights are read as they were published. Activations stay in the chosen format, also "
    "where the checkpoint would round them to fewer bits."
)
"""What it means where the quantised weights are the model's own."""


def sentence(result: TraceResult, model: str, partial: bool = False) -> str:
    """Return the headline of a run as HTML."""
    if partial:
        return (
            '<p class="tk-sentence"><mark>partial</mark> '
            f"{result.layers_done} of {many(result.layers, 'layer')} measured, "
            f"{many(result.length, 'token')}. "
            "Nothing partial is stored.</p>"
        )
    said = [_most_attended(result), _learned_sink(result), _beyond(result)]
    about = [
        _hardest(result),
        f"{escape(model)} read {_tokens(result)}: one text, not the distribution.",
        "Click any token, or step with the arrow keys.",
    ]
    return (
        f'<p class="tk-sentence">{" ".join(filter(None, said))}</p>'
        f'<p class="tk-sub">{" ".join(filter(None, about))} {notes(result)}</p>'
    )


def facts_of(run: Run) -> str:
    """Return the line under the page: how this run was made."""
    environment = run.environment
    path = environment.get("attention_statistics")
    took = number(f"{run.duration_ms:.0f} ms", source("duration"), run.id)
    known = [
        *(f"{key} {environment[key]}" for key in ("device", "dtype") if key in environment),
        *([f"attention statistics by {path}"] if path else []),
        f"commit {str(environment.get('commit', 'unknown'))[:10]}",
        *(f"{name}: {copy}" for name, copy in environment.get("weights", {}).items()),
    ]
    said = f"computed in {took}" + (" (from the store)" if run.cached else "")
    facts = (escape(f"run {run.id}"), said, *map(escape, known))
    return f'<p class="tk-sub">{" · ".join(facts)}</p>'


def status(text: str, kind: str = "info", share: float | None = None) -> str:
    """Return one line of status; ``error`` is announced by screen readers."""
    role = "alert" if kind == "error" else "status"
    bar = "" if share is None else f'<progress max="1" value="{share:.3f}"></progress>'
    return f'<div class="tk-status tk-{kind}" role="{role}">{bar}<span>{escape(text)}</span></div>'


def told(event: Event) -> str:
    """Return how far a run is, as one line of status."""
    if isinstance(event, Queued):
        return status(f"Waiting: place {event.place} in the queue for this model.", "busy")
    if isinstance(event, Progress):
        share = event.done / max(1, event.total)
        return status(f"{event.doing} · {event.done} of {event.total}", "busy", share)
    return ""


def pill(info: ModelInfo, note: str = "") -> str:
    """Return the state of the model: cold, fetching and how far, loading, ready or refused.

    Args:
        info: of the model.
        note: why the page begins with it, where that must be said.
    """
    said = info.detail if info.state == "fetching" else info.state
    lines = [note, info.detail if info.state == "refused" else ""]
    more = "".join(f'<p class="tk-sub">{escape(line)}</p>' for line in lines if line)
    if info.weights:
        meaning = UNMEASURED if info.weights.startswith("dequantised") else PUBLISHED
        more += (
            f'<details class="tk-sub"><summary>{escape(info.weights)}</summary>{meaning}</details>'
        )
    return (
        f'<span class="tk-pill tk-{escape(info.state)}" title="{escape(info.detail)}">'
        f"{escape(info.title)}: {escape(said)}</span>{more}"
    )


def _most_attended(result: TraceResult) -> str:
    """Say which token gets the most attention, and whether that is a sink."""
    share = attention_share(result)
    if not np.isfinite(share).any():
        return ""
    most = int(np.nanargmax(share))
    which = "the first token, " if most == 0 else f"token {most}, "
    gets = f"goes to {which}<b>“{_named(result, most)}”</b>"
    much = f"<b>{number(f'{share[most]:.0f}%', source('attention_share', most))}</b>"
    if result.length < SHORTEST_FOR_SINKS:
        return (
            f"{much} of all attention {gets}; whether it is an attention sink "
            f"can be said from {SHORTEST_FOR_SINKS} tokens on."
        )
    heads = int((result.sink_score > result.sink_threshold).sum())
    known = number(f"{int(np.isfinite(result.sink_score).sum())}", source("heads"))
    counted = f"<b>{number(f'{heads}', source('sink_heads'))} of {known}</b> heads"
    threshold = number(f"{result.sink_threshold:.0%}", source("sink_threshold"))
    over = f"over {threshold} of theirs"
    if not heads:
        return (
            f"{much} of all attention {gets}; there is no attention sink: "
            f"{counted} give {over} to the first token."
        )
    rest = "" if most == 0 else " the first token"
    return (
        f"{much} of all attention {gets}: {counted} give{rest} {over}. Such a "
        "token is called an <b>attention sink</b>."
    )


def _learned_sink(result: TraceResult) -> str:
    """Say how much attention goes to no token, in a model that learned a place for it."""
    if result.learned_sink_mass is None or not result.learned_sink_measured:
        return ""
    share = float(np.nanmean(result.learned_sink_mass))
    much = number(f"{share:.1%}", source("learned_sink"))
    return f"<b>{much}</b> of all attention goes to the learned sink, which is no token."


def _beyond(result: TraceResult) -> str:
    """Say what happens past the trained context, in a text that goes there."""
    if result.context >= result.length:
        return ""
    before, after = (
        part[np.isfinite(part)]
        for part in np.split(result.surprisal_nats.astype(np.float64), [result.context])
    )
    if not len(before) or not len(after):
        return ""
    within = number(f"{before.mean():.2f} nats", source("surprisal_before"))
    beyond = number(f"{after.mean():.2f}", source("surprisal_beyond"))
    return (
        f"This model was trained on {number(f'{result.context:,}', source('context'))} tokens at "
        f"most: the mean surprisal is {within} up to there and <b>{beyond}</b> beyond."
    )


def _hardest(result: TraceResult) -> str:
    if not np.isfinite(result.surprisal_nats).any():
        return ""
    t = int(np.nanargmax(result.surprisal_nats))
    return (
        f"The most surprising token is <b>“{_named(result, t)}”</b> "
        f"({number(f'{result.surprisal_nats[t]:.1f} nats', source('surprisal_nats', t))})."
    )


def _tokens(result: TraceResult) -> str:
    return number(many(result.length, "token"), source("tokens"))


def _named(result: TraceResult, token: int) -> str:
    return escape(one_line(named(result.token_text)[token]).strip())
