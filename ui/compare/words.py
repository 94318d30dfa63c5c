"""What a comparison says: the finding first, and nothing where nothing can be said."""

from tokenarium.backend import Alignment, Interval, PlaceMeasure, RunComparison
from tokenarium.ui.compare.numbers import value_source
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import Source, source
from tokenarium.ui.why.number import number as marked

LEAST = 0.005
"""Differences below that are not seen in two decimals."""
LOWER_IS_BETTER = {"kl_nats", "token_ms", "step_ms"}


def sentence(comparison: RunComparison, measure: str) -> str:
    """Return the headline as HTML: the largest difference, then the means, then what is aligned."""
    found = [_largest(comparison, measure), _means(comparison, measure)]
    about = [*_aligned(comparison), *map(escape, comparison.notes)]
    return (
        f'<p class="tk-sentence">{" ".join(filter(None, found))}</p>'
        f'<p class="tk-sub">{" ".join(about)}</p>'
    )


def number(value: float, unit: str = "") -> str:
    """Return a number in three digits, bytes in the unit that fits, with its unit."""
    if unit == "bytes":
        power = next((n for n, most in enumerate((1e3, 1e6, 1e9)) if abs(value) < most), 3)
        return f"{value / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
    digits = f"{value:.2f}" if 0.1 <= abs(value) < 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def where(comparison: RunComparison, place: int) -> str:
    """Return what a place is called in a sentence, as HTML."""
    name = one_line(comparison.places[place]).strip() or "∅"
    if comparison.axis == "token":
        return f"<b>“{escape(name)}”</b>"
    return (
        f"<b>{escape(name)}</b>"
        if comparison.axis == "point"
        else f"<b>{comparison.axis} {name}</b>"
    )


def _largest(comparison: RunComparison, name: str) -> str:
    measure = comparison.measure(name)
    if not comparison.places:
        return "Nothing of these texts is aligned: no token can be compared with another."
    if not comparison.compared(name):
        return f"The {escape(measure.title)} is not known at any place of two of these runs."
    largest = comparison.largest(name)
    if largest is None or abs(largest.difference) < LEAST * _scale(measure):
        count = _counting(comparison.compared(name), comparison, source("compared"))
        return f"They do not differ in {escape(measure.title)} at any of {count}."
    lane = comparison.lanes[largest.lane]
    two = sum(at != each.reference for at, each in enumerate(comparison.lanes)) == 1
    who = (
        "The two differ"
        if two
        else f"{escape(comparison.lanes[lane.reference].name)} and {escape(lane.name)} differ"
    )
    unit = "" if measure.unit == "bytes" else measure.unit
    first = number(largest.first, "bytes" if measure.unit == "bytes" else "")
    other = number(largest.other, measure.unit if unit else ("bytes" if measure.unit else ""))
    one = _opening(comparison, measure, lane.reference, largest.place, first)
    its = _opening(comparison, measure, largest.lane, largest.place, other)
    return (
        f"{who} most in {escape(measure.title)} at {where(comparison, largest.place)}: "
        f"<b>{one} against {its}</b>."
    )


def _opening(
    comparison: RunComparison, measure: PlaceMeasure, lane: int, place: int, said: str
) -> str:
    """Return a number as HTML that opens what it is."""
    of = value_source(measure, lane, place)
    return escape(said) if of is None else marked(said, of, comparison.lanes[lane].run_id)


def _means(comparison: RunComparison, name: str) -> str:
    measure = comparison.measure(name)
    if measure.paired:
        return _paired(comparison, name)
    found = [
        ((lane.name, at), mean)
        for at, (lane, mean) in enumerate(zip(comparison.lanes, comparison.mean(name), strict=True))
        if not lane.baseline
    ]
    known = sorted(
        ((who, mean) for who, mean in found if mean is not None),
        key=lambda each: each[1].value,
        reverse=name not in LOWER_IS_BETTER,
    )
    if len(known) < len(found) or len(known) < 2 or _timed_apart(comparison, name):
        return ""
    (best, place), mean = known[0]
    alike = [who for (who, _), other in known[1:] if other.overlaps(mean)]
    word = "lowest" if name in LOWER_IS_BETTER else "highest"
    least, of = min((each.n, at) for (_, at), each in known)
    over = marked(many(least, comparison.axis), source("n", of))
    if alike:
        return (
            f"Over {over} none has the {word} mean for certain: {escape(best)} "
            f"({_interval(mean, measure, place)}) and {escape(', '.join(alike))} overlap."
        )
    (then, at), other = known[1]
    return (
        f"Over {over} the mean is {word} for <b>{escape(best)}</b> "
        f"({_interval(mean, measure, place)}); next is {escape(then)} "
        f"({_interval(other, measure, at)})."
    )


def _paired(comparison: RunComparison, name: str) -> str:
    """Say how far each later run is from the first on average, where the interval leaves out 0."""
    measure, found = comparison.measure(name), []
    first = comparison.lanes[0].name
    every = enumerate(zip(comparison.lanes, comparison.mean(name), strict=True))
    for at, (lane, mean) in list(every)[1:]:
        if mean is None or comparison.axis == "point":
            continue
        over = _counting(mean.n, comparison, source("n", at))
        if mean.low <= 0 <= mean.high:
            found.append(
                f"Over {over} neither has the higher mean for certain (difference "
                f"{_interval(mean, measure, at)})."
            )
            continue
        high, low = (lane.name, first) if mean.value > 0 else (first, lane.name)
        found.append(
            f"Over {over} the mean is higher in <b>{escape(high)}</b> than in {escape(low)}, by "
            f"{marked(number(abs(mean.value), measure.unit), source('mean_size', at))} "
            f"(difference {_interval(mean, measure, at)})."
        )
    return " ".join(found)


def _interval(mean: Interval, measure: PlaceMeasure, lane: int) -> str:
    unit = "bytes" if measure.unit == "bytes" else ""
    value = marked(number(mean.value, measure.unit), source("mean", lane))
    low, high = (
        marked(number(end, unit), source(name, lane))
        for name, end in (("low", mean.low), ("high", mean.high))
    )
    return f"{value}, 95% interval {low} to {high}"


def _counting(count: int, comparison: RunComparison, of: Source) -> str:
    """Return how many places there are, as HTML."""
    aligned = "aligned " if comparison.axis == "token" else ""
    return marked(many(count, f"{aligned}{comparison.axis}"), of)


def _timed_apart(comparison: RunComparison, name: str) -> bool:
    """Return whether times of different machines would be compared."""
    machines = {
        (run.environment.get("device"), run.environment.get("device_name"))
        for run in comparison.runs
    }
    return name.endswith("_ms") and len(machines) > 1


def _aligned(comparison: RunComparison) -> list[str]:
    """Say in numbers what of each text has a counterpart."""
    lanes = comparison.lanes
    return [
        f"{escape(lane.name)}: {_counted(found, at)}."
        for at, (lane, found) in enumerate(zip(lanes, comparison.alignments, strict=True))
        if found is not None and not lane.baseline
    ]


def _counted(found: Alignment, lane: int) -> str:
    def of(shown: str, name: str) -> str:
        return marked(shown, source(name, lane))

    how = "token by token" if found.by == "token" else "by characters, as the tokenizers differ"
    same = "the same text, " if found.same_text else ""
    return (
        f"{same}{of(f'{found.second_aligned}', 'second_aligned')} of "
        f"{of(many(found.second_tokens, 'token'), 'second_tokens')} aligned with "
        f"{of(f'{found.first_aligned}', 'first_aligned')} of "
        f"{of(f'{found.first_tokens}', 'first_tokens')} {how}"
    )


def _scale(measure: PlaceMeasure) -> float:
    """Return what a difference is small against: 1 for nats and shares, the numbers for others."""
    return 1.0 if measure.unit in ("", "nats") else 0.0
