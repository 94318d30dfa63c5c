"""A model that computes less, in words; all text of a model or visitor is escaped."""

from tokenarium.backend import ReduceEstimate, ReduceResult, Reduction
from tokenarium.ui.components.cost_card import card
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import notes


def reduction_sentence(result: ReduceResult, slug: str) -> str:
    """Return what the judged model loses, how it stands beside others, and what is exact."""
    method = next((each for each in Reduction.registry.all() if each.slug == slug), None)
    title = slug if method is None else method.title
    at = result.chosen
    loss = number(f"{result.loss_nats[at]:.3f} nats", source("loss_nats", at))
    dense = number(f"{result.dense_nats:.3f}", source("dense_nats"))
    cost = number(f"{result.cost[at]:.1%}", source("cost", at))
    said = (
        f"<b>{escape(title)}</b>, {escape(result.point_label[at])}: {loss} a token with {cost} of "
        f"{escape(result.cost_title)}, {dense} with nothing cut. "
    )
    said += " ".join(_beside(result, number_) for number_ in range(len(result.beside)))
    if result.enumerated:
        every = number(f"{result.enumerated:,}", source("enumerated"))
        said += f" Every one of {every} models was read for “{escape(result.exact)}”."
    readings = number(f"{result.readings:.1f} readings", source("readings"))
    held_out = number(many(result.length, "token"), source("held_out"))
    calibrated = number(f"{result.calibration_tokens}", source("calibration_tokens"))
    about = f"{held_out} held out, {calibrated} to calibrate; {readings}. {notes(result)}"
    return f'<p class="tk-sentence">{said}</p><p class="tk-sub">{about}</p>'


def _beside(result: ReduceResult, place: int) -> str:
    """Return how another model stands beside the judged one, and whether chance explains it."""
    other = int(result.beside[place])
    name = escape(result.series[result.point_series[other]])
    more = float(result.difference_nats[place])
    low, high = result.difference_low_nats[place], result.difference_high_nats[place]
    shown = number(f"{more:+.3f}", source("difference_nats", place))
    if not low <= high:
        return f"“{name}”: {shown}."
    ends = (
        number(f"{low:+.3f}", source("difference_low_nats", place)),
        number(f"{high:+.3f}", source("difference_high_nats", place)),
    )
    if low == high == 0:
        return f"“{name}” is the same here ({shown})."
    verdict = "is worse" if low > 0 else "is better" if high < 0 else "cannot be told from it"
    return f"“{name}” {verdict}: {shown} (95 % interval {ends[0]} to {ends[1]})."


def reduction_card(cost: ReduceEstimate) -> str:
    """Return what a reduction will take, as HTML."""
    time = "not known: this way was never tried with this model on this machine"
    if cost.total_ms is not None:
        seconds = cost.total_ms / 1e3
        said = f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        time = f"about {said}, from runs of this model on this machine"
    facts = (
        ("Text", f"at most {many(cost.tokens, 'token')}, and as many to calibrate on"),
        ("Passes", f"about {cost.readings:,.0f} whole readings of a text"),
        ("Counted", f"share of {cost.cost_title}"),
        ("Time", time),
    )
    return card("What Reduce will take", facts, "")
