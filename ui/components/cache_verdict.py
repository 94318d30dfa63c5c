"""What a run under policies shows, in a sentence: which changes the predictions least, and why."""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from tokenarium.backend import CacheResult, CacheVerdict, Judged, PolicyRun, cache_verdict
from tokenarium.ui.characters import named
from tokenarium.ui.components.cost_card import size
from tokenarium.ui.text import by_model, escape, one_line
from tokenarium.ui.why.number import Source, number, source


def cache_sentence(result: CacheResult, model: str = "") -> str:
    """Return the verdict as HTML, or what the caches take where nothing says what they cost.

    Args:
        result: of the run in sight.
        model: name of what read the prompt; the run bar may hold another one.
    """
    found = cache_verdict(result)
    if found is None:
        return _taken(result)
    said = _judgement(found) if found.ranked else _unranked(found)
    ways = [*found.least, *found.more]
    close = _listed([f"{_title(one.run)} {_interval(one)}" for one in ways if one.interval])
    sure = f" 95% intervals in nats: {close}." if close else ""
    return (
        f'<p class="tk-sentence">{_at(found)} {said}.</p>'
        f'<p class="tk-sub">n = {_fewest(found)} steps of one prompt{by_model(model)}.{sure}'
        f"{_otherwise(found)}</p>"
    )


def _judgement(found: CacheVerdict) -> str:
    best, *close = found.least
    if found.more:
        said = f"{_least(found)}; {_worst(found)}"
    elif close:
        said = (
            f"it cannot be said which policy changes the predictions least: the intervals of "
            f"{_listed([_bold(one) for one in found.least])} overlap"
        )
    else:
        lost = f" and loses {_lost(best)} of the attention" if isfinite(best.lost) else ""
        said = f"{_bold(best)} changes the predictions by {_nats(best)}{lost}"
    return said


def _least(found: CacheVerdict) -> str:
    best, *close = found.least
    if not close:
        return f"{_bold(best)} changes the predictions least ({_nats(best)})"
    names = _listed([_bold(one) for one in found.least])
    each = _listed([number(f"{one.kl_nats:.3f}", _mean(one)) for one in found.least])
    return (
        f"{names} change the predictions least ({each} nats: too close to rank after "
        f"{_fewest(found)} steps)"
    )


def _worst(found: CacheVerdict) -> str:
    """Return by how much the others change the predictions, and why the last does."""
    *middle, worst = found.more
    best = found.least[0]
    parts = [f"{_bold(one)} {_times(one, best)}" for one in (*middle, worst)]
    said = ", ".join(parts)
    most = max((one.lost for one in found.least if isfinite(one.lost)), default=float("nan"))
    if not worst.lost > most:
        return said
    missed = "" if worst.missed is None else f", and misses {_token(worst, worst.missed)} most"
    who = "because it loses" if not middle else f"{_title(worst.run)} because it loses"
    return f"{said}, {who} <b>{_lost(worst)}</b> of the attention{missed}"


def _times(one: Judged, best: Judged) -> str:
    if not best.kl_nats > 0:
        return f"more ({_nats(one)})"
    times = one.kl_nats / best.kl_nats
    of = source("kl_times", one.run.number, one.run.steps, best.run.number, best.run.steps)
    said = number(f"{times:.0f} times" if times >= 10 else f"{times:.1f} times", of)
    return f"<b>{said}</b> more"


def _token(one: Judged, place: int) -> str:
    result = one.run.result
    if place == 0:
        return f"the first token, “{_text(result.prompt_text, 0)}”,"
    own = result.token_text[one.run.number]
    texts = [*result.prompt_text, *own[: one.run.steps]]
    return f"token {place}, “{_text(texts, place)}”," if place < len(texts) else f"token {place}"


def _text(texts: Sequence[str], place: int) -> str:
    return escape(one_line(named(texts)[place]).strip())


def _unranked(found: CacheVerdict) -> str:
    each = _listed([f"{_bold(one)} by {_nats(one)}" for one in (*found.least, *found.more)])
    return (
        f"the predictions change under {each}; {_fewest(found)} steps are too few to rank policies"
    )


def _otherwise(found: CacheVerdict) -> str:
    """Return what policies of another size hold and cost."""
    full = _full(found)
    parts = [
        f"{_title(one.run)} holds {_share(one.run, full)} and changes them by {_nats(one)}"
        for one in found.others
    ]
    return f" {'; '.join(parts)}." if parts else ""


def _at(found: CacheVerdict) -> str:
    full, one = _full(found), found.least[0].run
    if full is None:
        return f"With a cache of <b>{_share(one, None)}</b>"
    return f"At <b>{_share(one, full)}</b> of the memory"


def _full(found: CacheVerdict) -> PolicyRun | None:
    """Return the run that kept all, where the verdict compares sizes with it."""
    runs = found.least[0].run.result.runs
    full = (run for run in runs if run.label == "nothing" and np.isfinite(run.kl_nats).any())
    return next(full, None) if found.share else None


def _fewest(found: CacheVerdict) -> str:
    same = [one.run for one in (*found.least, *found.more)]
    return number(f"{found.n}", source("steps", min(same, key=lambda run: run.steps).number))


def _share(run: PolicyRun, full: PolicyRun | None) -> str:
    held, last = int(run.cache_bytes[-1]), (run.number, run.steps - 1)
    if full is None:
        return number(size(held), source("cache_bytes", *last))
    share = held / int(full.cache_bytes[-1])
    return number(f"{share:.0%}", source("cache_share", *last, full.number, full.steps - 1))


def _interval(one: Judged) -> str:
    assert one.interval is not None
    of = (one.run.number, one.run.steps)
    low = number(f"{max(0.0, one.interval.low):.3f}", source("kl_low", *of))
    return f"{low} to {number(f'{one.interval.high:.3f}', source('kl_high', *of))}"


def _taken(result: CacheResult) -> str:
    """Return who keeps least of the cache, and whether the text stays the same."""
    runs = [run for run in result.runs if run.steps]
    if len(runs) < 2:
        return ""
    parts = [f"{_share(run, runs[0])} under <b>{_title(run)}</b>{_parted(run)}" for run in runs[1:]]
    return (
        f'<p class="tk-sentence">The cache of this text takes <b>{_share(runs[0], None)}</b> with '
        f"{_title(runs[0])}; {'; '.join(parts)}.</p>"
    )


def _parted(run: PolicyRun) -> str:
    """Return when the text parts from what the full model would write, where that is known."""
    if not np.isfinite(run.top1_agree).any():
        return ""
    first = int(run.result.first_divergence[run.number])
    return " (same text)" if first < 0 else f" (another text from token {first + 1} on)"


def _title(run: PolicyRun) -> str:
    return escape(run.result.titles[run.number])


def _bold(one: Judged) -> str:
    return f"<b>{_title(one.run)}</b>"


def _nats(one: Judged) -> str:
    return number(f"{one.kl_nats:.3f} nats", _mean(one))


def _mean(one: Judged) -> Source:
    return source("kl_mean", one.run.number, one.run.steps)


def _lost(one: Judged) -> str:
    return number(f"{one.lost:.0%}", source("lost", one.run.number, one.run.steps))


def _listed(parts: Sequence[str]) -> str:
    *head, last = parts or [""]
    return f"{', '.join(head)} and {last}" if head else last
