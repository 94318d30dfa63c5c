"""SGLang: the ``spec_*`` figures of ``meta_info``, or of ``sglext.spec_tokens_details``."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from tokenarium.backend.imports.reader import ResponseReader, Source
from tokenarium.backend.imports.record import (
    ImportedRequest,
    counts,
    known_count,
    of_histogram,
    paired,
    ratios,
    text_of,
)

_MARK = "spec_verify_ct"
_ORDERED = ("verify_lengths", "accept_lengths")
_HISTOGRAMS = ("spec_correct_drafts_histogram", "spec_accept_histogram")
_ACCEPTED = ("spec_num_correct_drafts", "spec_accepted_drafts", "spec_accept_token_num")
_DRAFTED = ("spec_num_proposed_drafts", "spec_proposed_drafts", "spec_draft_token_num")
_DEPTH = 6


class Sglang(ResponseReader):
    """Newer and older names of the same counts, and ordered lengths where they are given."""

    slug: ClassVar[str] = "sglang"
    title: ClassVar[str] = "SGLang"
    engine: ClassVar[str] = "SGLang"
    explanation: ClassVar[str] = (
        "responses of /generate or the OpenAI endpoints with spec_verify_ct and its neighbours in "
        "meta_info or sglext, or with ordered verify_lengths and accept_lengths."
    )
    missing: ClassVar[str] = (
        "no spec_verify_ct is there: ask /generate, or the OpenAI endpoints with "
        "return_spec_tokens_details, of a server that drafts"
    )

    def counted(self, source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Yield every response with its counts, also where the counts are given alone."""
        return _found(source)

    def request(self, outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> ImportedRequest:
        """Return the request of a response and its counts."""
        return _request(outer, metrics)


def _found(source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for value in source.objects:
        for metrics in _within(value, 0):
            yield value, metrics


def _within(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield every object that has the counts, whichever field of a response holds it."""
    if depth > _DEPTH:
        return
    if isinstance(value, dict):
        if value.get(_MARK) is not None or all(name in value for name in _ORDERED):
            yield value
            return
        for inner in value.values():
            yield from _within(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _within(inner, depth + 1)


def _request(outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> ImportedRequest:
    drafted, accepted = known_count(metrics, *_DRAFTED), known_count(metrics, *_ACCEPTED)
    steps = known_count(metrics, _MARK)
    histogram: tuple[int, ...] = ()
    for name in _HISTOGRAMS:
        if metrics.get(name):
            histogram = counts(metrics[name], name, 4096)
            break
    ordered = all(metrics.get(name) is not None for name in _ORDERED)
    width = drafted // steps if drafted and steps and not drafted % steps else None
    if width is not None and len(histogram) > width + 1 and any(histogram[width + 1 :]):
        width = None  # the drafts differ in length
    rounds = paired(metrics, _ORDERED) if ordered else of_histogram(histogram, width)
    return ImportedRequest(
        name=text_of(metrics, "id") or text_of(outer, "id"),
        model=text_of(outer, "model"),
        rounds=rounds,
        ordered=ordered,
        steps=steps,
        drafted=drafted,
        accepted=accepted,
        completion_tokens=_completion_tokens(outer, metrics),
        draft_width=width,
        reported=ratios(metrics, ("spec_accept_length", "spec_accept_rate")),
    )


def _completion_tokens(outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> int | None:
    for place in (metrics, outer.get("usage"), outer.get("meta_info")):
        if isinstance(place, dict) and place.get("completion_tokens") is not None:
            return known_count(place, "completion_tokens")
    return None
