"""What a run or a sweep will take, said before it starts."""

from tokenarium.backend import CacheEstimate, SweepEstimate, TraceEstimate
from tokenarium.ui.text import escape, many

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def trace_card(cost: TraceEstimate) -> str:
    """Return what reading a text will take, as HTML."""
    passes = "one reading of the text"
    if cost.passes > 1:
        passes = f"{cost.passes} readings of the text: the second for the logit lens"
    time = "not known: this model has read no text on this machine yet"
    facts = (
        ("Text", f"{many(cost.words, 'word')}, {many(cost.tokens, 'token')}"),
        ("Passes", passes),
        ("Peak memory", peak(cost.peak_bytes, cost.free_bytes)),
        ("Time", time if cost.total_ms is None else _time(cost.total_ms, ())),
    )
    return card("What Run will take", facts, "")


def cache_card(cost: CacheEstimate) -> str:
    """Return what a run under policies will take, as HTML."""
    passes = (
        f"{many(cost.prefill_passes, 'reading')} of the prompt"
        f"{f' in {cost.prompt_parts} parts' if cost.prompt_parts > 1 else ''}, "
        f"{many(cost.decode_passes, 'decode step')}"
    )
    if cost.full_passes:
        passes += f", {many(cost.full_passes, 'pass', 'passes')} of the full model beside them"
    bars = "".join(
        _bar(policy.title, policy.label, policy.end_bytes, cost.full_bytes, policy.exact)
        for policy in cost.policies
    )
    facts = (
        ("Tokens", f"{cost.prompt_tokens:,} of the prompt, {cost.new_tokens:,} new"),
        ("Budget", f"{cost.budget_tokens:,} entries per head"),
        ("Passes", passes),
        ("Peak memory", peak(cost.peak_bytes, cost.free_bytes)),
        ("Time", _time(cost.total_ms, cost.unknown)),
    )
    acts = "".join(
        f'<p class="tk-sub">{escape(policy.title)} {escape(policy.acts)}</p>'
        for policy in cost.policies
        if policy.acts
    )
    return card("What Run will take", facts, f'<div class="tk-bytes">{bars}</div>{acts}')


def sweep_card(cost: SweepEstimate) -> str:
    """Return what a sweep will take, as HTML."""
    answers = "" if cost.answer_tokens is None else f", {cost.answer_tokens} new each at most"
    between = size(cost.largest_bytes)
    if cost.smallest_bytes < cost.largest_bytes:
        between = f"{size(cost.smallest_bytes)} to {between}"
    facts = [
        ("Points", f"{cost.points}, each tried {_times(cost.exercises)}"),
        ("Tokens", f"{cost.prompt_tokens:,} of a prompt{answers}"),
        ("Passes", f"{cost.prefill_passes:,} readings of a prompt"),
        ("Cache", f"{between} a point"),
        ("Time", _time(cost.total_ms, cost.unknown)),
    ]
    if cost.acts:
        facts.append(("Layers", "; ".join(cost.acts[:2])))
    if cost.refused:
        facts.append(("Left out", "; ".join(cost.refused[:2])))
    return card("What Sweep will take", facts, "")


def refused_card(reason: str) -> str:
    """Return why nothing would run, as HTML."""
    return f'<section class="tk-cost"><p class="tk-sub">{escape(reason)}</p></section>'


def size(count: int) -> str:
    """Return a number of bytes for people."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.{2 if count < 10 * unit else 1}f} {name}"
    return f"{count} B"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def card(title: str, facts: object, more: str) -> str:
    """Return facts under a title, as HTML; ``more`` is HTML to stand beside them."""
    assert isinstance(facts, tuple | list)
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    # In a narrow window it scrolls, and what scrolls must be reached by the keyboard.
    return (
        f'<section class="tk-cost" role="group" tabindex="0" aria-label="{title}">'
        f"<h2>{title}</h2><dl>{rows}</dl>{more}</section>"
    )


def peak(needed: int, free: int | None) -> str:
    """Return how much memory is needed at most, and how much is free, in words."""
    known = "" if free is None else f" of {size(free)} free"
    return f"under {size(needed)}{known}, beside the model"


def _bar(title: str, label: str, held: int, full: int, exact: bool) -> str:
    about = "" if exact else "about "
    share = held / max(1, full)
    said = f"{about}{size(held)}, {share:.0%} of the full cache"
    return (
        f'<div class="tk-held" title="{escape(title)} ({escape(label)}): {escape(said)} at the '
        f'end"><span>{escape(title)}</span><i><b style="width:{min(share, 1):.1%}"></b></i>'
        f"<data>{about}{escape(size(held))}</data></div>"
    )


def _time(total_ms: float | None, unknown: tuple[str, ...]) -> str:
    if total_ms is None:
        return f"not known: {', '.join(unknown)} never ran with this model on this machine"
    seconds = total_ms / 1e3
    said = f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"about {said}, from runs of this model on this machine"
