"""What a load test found, as a table."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.load.asking import Asked

TITLES = {
    "open": "open a stored run",
    "endpoint": "open one through the endpoint",
    "trace": "small run",
    "sweep": "sweep",
}
"""Of what visitors ask, by kind."""


@dataclass(frozen=True)
class Checked:
    """What was found in the store afterwards."""

    stored: int
    lost: int
    """Answers whose run was not there any more, or had other numbers."""
    half: int
    """Stored runs that could not be opened whole."""
    seen_by_others: int
    """Answers to another's request, and private runs in another's list."""


def table(
    asked: Sequence[Asked],
    checked: Checked,
    megabytes: Mapping[str, Sequence[float]],
    events: Sequence[str],
) -> str:
    """Return the figures as a table of Markdown."""
    rows = [
        ("lost, half, seen by others", f"{checked.lost}, {checked.half}, {checked.seen_by_others}"),
        ("runs stored", str(checked.stored)),
    ]
    for kind, title in TITLES.items():
        rows.append((f"{title}, ms p50 / p95 / p99", milliseconds(_of(asked, kind))))
    places = [place for each in asked for place in each.places]
    waited = sum(bool(each.places) for each in asked)
    rows.append(("queue: waited, highest place", f"{waited}, {max(places, default=0)}"))
    rows.append(("refused: busy; connection lost", f"{_refused(asked)}; {_broken(asked)}"))
    rows.append(("answers that said they are not stored", str(_not_stored(asked))))
    rows.append(("second tries said", str(sum(each.tried_again for each in asked))))
    rows.append(("mean wait of a small run by visitor, s", fairness(asked)))
    for name, held in megabytes.items():
        rows.append((f"memory of {name}, MB, first and last third", thirds(held)))
    rows += [("during it", event) for event in events]
    width = max(len(name) for name, _ in rows)
    lines = [f"| {name:<{width}} | {value} |" for name, value in rows]
    return "\n".join(["| What | Found |", "|---|---|", *lines])


def milliseconds(found: Iterable[Asked]) -> str:
    """Return the quantiles of the times until an answer, and their number."""
    times = [each.seconds * 1000 for each in found if each.run is not None]
    if not times:
        return "none answered"
    low, high, last = np.quantile(times, [0.5, 0.95, 0.99])
    return f"{low:,.0f} / {high:,.0f} / {last:,.0f} of {len(times)}"


def fairness(asked: Sequence[Asked]) -> str:
    """Return the least, median and greatest of the visitors' mean waits for a small run."""
    by_visitor: dict[str, list[float]] = {}
    for each in _of(asked, "trace"):
        if each.run is not None:
            by_visitor.setdefault(each.visitor, []).append(each.seconds)
    means = [float(np.mean(times)) for times in by_visitor.values()]
    if not means:
        return "none answered"
    return f"{min(means):.1f} / {np.median(means):.1f} / {max(means):.1f} of {len(means)}"


def thirds(held: Sequence[float]) -> str:
    """Return the most of the first and of the last third."""
    third = max(1, len(held) // 3)
    return f"{max(held[:third], default=0):.0f}, {max(held[-third:], default=0):.0f}"


def _of(asked: Iterable[Asked], kind: str) -> list[Asked]:
    return [each for each in asked if each.kind == kind]


def _refused(asked: Iterable[Asked]) -> str:
    reasons = Counter("busy" if "busy" in each.refused else each.refused for each in asked)
    reasons.pop("", None)
    busy = reasons.pop("busy", 0)
    others = "; ".join(f"{number} x {reason[:120]}" for reason, number in reasons.items())
    return f"{busy} ({others})" if others else str(busy)


def _not_stored(asked: Iterable[Asked]) -> int:
    return sum(bool(each.not_stored) for each in asked)


def _broken(asked: Iterable[Asked]) -> str:
    kinds = Counter(each.broken for each in asked if each.broken)
    return ", ".join(f"{number} {name}" for name, number in kinds.items()) or "0"
