"""llama.cpp: the lines that its server writes after every request, or ``timings`` of a response."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tokenarium.backend.imports.reader import Reader, Source
from tokenarium.backend.imports.record import (
    MOST_COUNT,
    ImportedRequest,
    count,
    known_count,
    text_of,
)

_RATE = re.compile(
    r"draft acceptance(?: rate)?\s*=\s*([\d.]{1,16})\s*"
    r"\(\s*(\d{1,12}) accepted /\s*(\d{1,12}) generated\)"
    r"(?:,\s*mean acceptance length\s*=\s*([\d.]{1,16}))?"
    r"(?:,\s*acceptance rate per position\s*=\s*\(([\d., ]{0,4000})\))?"
)
_TOKENS = re.compile(r"(?<!prompt )eval time\s*=\s*[\d.]{1,20} ms\s*/\s*(\d{1,12}) tokens")
_TASK = re.compile(r"task\s+(\d{1,12})")
_DRAFTS = re.compile(r"statistics\s+\S{1,64}:.{0,200}?#gen drafts\s*=\s*(\d{1,12})")
_GENERATED = re.compile(r"#gen tokens\s*=\s*(\d{1,12}),\s*#acc tokens\s*=\s*(\d{1,12})")


class LlamaCpp(Reader):
    """Sums of a request; rates by position where the version is new enough to write them."""

    slug: ClassVar[str] = "llama_cpp"
    title: ClassVar[str] = "llama.cpp"
    engine: ClassVar[str] = "llama.cpp"
    order: ClassVar[int] = 2
    explanation: ClassVar[str] = (
        "the server's log with lines such as 'draft acceptance = 0.64 (167 accepted / 259 "
        "generated)', or responses whose timings have draft_n."
    )

    def recognises(self, source: Source) -> bool:
        """Whether one of its lines, or ``draft_n`` in ``timings``, is there."""
        return any(True for _ in _timings(source)) or _RATE.search(source.text) is not None

    def read(self, source: Source) -> list[ImportedRequest]:
        """Return one request for each such line or response."""
        found = [_of_timings(outer, inner) for outer, inner in _timings(source)]
        found = found or list(_of_log(source.text))
        if not found:
            raise ValueError(
                "no line with 'draft acceptance' is there: it is written after every request for "
                "which something was drafted"
            )
        return found


def _timings(source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for value in source.objects:
        inner = value.get("timings")
        if isinstance(inner, dict) and inner.get("draft_n") is not None:
            yield value, inner
        elif value.get("draft_n") is not None:
            yield {}, value


def _of_timings(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> ImportedRequest:
    drafted, accepted = known_count(inner, "draft_n"), known_count(inner, "draft_n_accepted")
    _refuse_more(accepted, drafted)
    return ImportedRequest(
        model=text_of(outer, "model"),
        drafted=drafted,
        accepted=accepted,
        completion_tokens=known_count(inner, "predicted_n"),
    )


def _of_log(text: str) -> Iterator[ImportedRequest]:
    """Yield the requests of a log; what belongs to one stands before its line and right after."""
    tokens: int | None = None
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if found := _TOKENS.search(line):
            tokens = _count(found[1])
        if not (found := _RATE.search(line)):
            continue
        accepted, drafted = _count(found[2]), _count(found[3])
        _refuse_more(accepted, drafted)
        task, steps = _TASK.search(line), _drafts_after(lines[at + 1 : at + 4], drafted, accepted)
        reported = {"draft acceptance": float(found[1])}
        if found[4]:
            reported["mean acceptance length"] = float(found[4])
        rates = [float(rate) for rate in (found[5] or "").split(",") if rate.strip()]
        if any(not 0 <= rate <= 1 for rate in rates):
            raise ValueError(f"acceptance rate per position: {found[5]!r:.80} has no shares")
        yield ImportedRequest(
            name=f"task {task[1]}" if task else "",
            steps=steps,
            drafted=drafted,
            accepted=accepted,
            completion_tokens=tokens,
            position_rate=tuple(rates),
            reported=reported,
        )
        tokens = None


def _drafts_after(lines: list[str], drafted: int, accepted: int) -> int | None:
    """Return the rounds of the statistics line that counts the same tokens.

    The statistics of a drafter go on over all requests: they are this one's only where they agree.
    """
    for line in lines:
        rounds, sums = _DRAFTS.search(line), _GENERATED.search(line)
        if rounds and sums and (_count(sums[1]), _count(sums[2])) == (drafted, accepted):
            return _count(rounds[1])
    return None


def _count(digits: str) -> int:
    return count(int(digits), "a count in the log", MOST_COUNT)


def _refuse_more(accepted: int | None, drafted: int | None) -> None:
    if accepted is not None and drafted is not None and accepted > drafted:
        raise ValueError(f"{accepted} accepted of {drafted} drafted: no run accepts more")
