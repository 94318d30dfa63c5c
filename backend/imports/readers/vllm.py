"""vLLM: ``metrics.speculative_decoding`` of a response."""

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

_MARK = "acceptance_histogram"
_STEPS = ("per_step_drafted", "per_step_accepted")


class Vllm(ResponseReader):
    """Of servers started with ``--per-request-spec-decode-metrics summary`` or ``detailed``."""

    slug: ClassVar[str] = "vllm"
    title: ClassVar[str] = "vLLM"
    engine: ClassVar[str] = "vLLM"
    explanation: ClassVar[str] = (
        "responses whose metrics.speculative_decoding has an acceptance_histogram, from "
        "--per-request-spec-decode-metrics summary or detailed."
    )
    missing: ClassVar[str] = (
        "no metrics.speculative_decoding is there: start vLLM with "
        "--per-request-spec-decode-metrics detailed, and of a stream keep the last chunk"
    )

    def counted(self, source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Yield every response with its counts, also where the counts are given alone."""
        return _found(source)

    def request(self, outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> ImportedRequest:
        """Return the request of a response and its counts."""
        return _request(outer, metrics)


def _found(source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield every response with its metrics, also where the metrics are given alone."""
    for value in source.objects:
        inner = value.get("data")
        outer = inner if isinstance(inner, dict) else value
        metrics: Any = outer.get("metrics")
        metrics = metrics.get("speculative_decoding") if isinstance(metrics, dict) else None
        metrics = metrics or outer.get("speculative_decoding") or outer.get("spec_decode_metrics")
        metrics = metrics or outer
        if isinstance(metrics, dict) and _MARK in metrics:
            yield outer, metrics


def _request(outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> ImportedRequest:
    histogram = counts(metrics[_MARK], _MARK, 4096)
    width, steps = known_count(metrics, "num_spec_tokens"), known_count(metrics, "num_spec_steps")
    drafted = known_count(metrics, "num_draft_tokens")
    ordered = all(metrics.get(name) is not None for name in _STEPS)
    if ordered:
        rounds = paired(metrics, _STEPS)
    else:
        # Of drafts that differ in length only the sum is known.
        even = width is not None and drafted == width * sum(histogram)
        rounds = of_histogram(histogram, width if even else None)
    usage: Any = outer.get("usage")
    return ImportedRequest(
        name=text_of(outer, "id"),
        model=text_of(outer, "model"),
        rounds=rounds,
        ordered=ordered,
        steps=steps,
        drafted=drafted,
        accepted=known_count(metrics, "num_accepted_draft_tokens"),
        completion_tokens=known_count(usage if isinstance(usage, dict) else {},
                                      "completion_tokens"),
        draft_width=width,
        reported=ratios(metrics, ("mean_acceptance_length", "draft_acceptance_rate")),
    )  # fmt: skip
