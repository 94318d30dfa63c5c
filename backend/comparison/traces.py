"""Traces beside each other: every aligned token, and every head where their numbers agree."""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.compare import compare
from tokenarium.backend.comparison.names import beginnings, names_of
from tokenarium.backend.comparison.result import Floats, Lane, PlaceMeasure, RunComparison
from tokenarium.backend.comparison.spans import Alignment, Tokens, align, counterparts, merged
from tokenarium.backend.runs.run import Run
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult

Reduced = Callable[[Floats], float]


def compare_traces(runs: Sequence[Run]) -> RunComparison:
    """Lay traces beside the first one.

    The surprisal of a span of several tokens is the sum over them, -ln p(span | what is before), so
    that it can be compared between tokenizers; its entropy is that after its last token; received
    attention is a sum.
    """
    results = [cast(TraceResult, run.result) for run in runs]
    requests = [cast(TraceRequest, run.request) for run in runs]
    first, *others = (_tokens(run, request) for run, request in zip(results, requests, strict=True))
    prints = [str(run.environment.get("fingerprint", "")) for run in runs]
    alignments = tuple(
        align(first, other, one_tokenizer=bool(prints[0]) and prints[0] == own)
        for other, own in zip(others, prints[1:], strict=True)
    )
    at = merged(alignments)
    spans = [at, *(counterparts(each, at) for each in alignments)]
    texts = beginnings(
        [_text(result, request) for result, request in zip(results, requests, strict=True)]
    )
    models = [request.model for request in requests]
    names = names_of(runs, list(zip(models, texts, strict=True)))
    heads, notes = _heads(results, models)
    return RunComparison(
        kind="trace",
        runs=tuple(runs),
        lanes=tuple(map(_lane, runs, results, names, models, spans)),
        axis="token",
        places=tuple("".join(first.texts[start:stop]) for start, stop in at),
        measures=_measures(results, spans),
        alignments=(None, *alignments),
        heads=heads,
        notes=(*notes, *_too_long(alignments)),
    )


def _tokens(result: TraceResult, request: TraceRequest) -> Tokens:
    known = bool(result.text) or bool(request.text)
    offsets = result.offsets if known else None
    return Tokens(result.token_ids, result.token_text, _text(result, request), offsets)


def _text(result: TraceResult, request: TraceRequest) -> str:
    return result.text or request.text


def _lane(
    run: Run, result: TraceResult, name: str, model: str, spans: Sequence[tuple[int, int]]
) -> Lane:
    places = np.full(result.length, -1, np.int32)
    for place, (start, stop) in enumerate(spans):
        places[start:stop] = place
    facts = {
        "mean_surprisal_nats": _mean(result.surprisal_nats),
        "mean_entropy_nats": _mean(result.entropy_nats),
        "sink_rate": float(result.sink_rate),
    }
    return Lane(run.id, name, model, result.token_text, places, facts)


def _mean(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)].astype(np.float64)
    return float(known.mean()) if len(known) else float("nan")


def _measures(
    results: Sequence[TraceResult], spans: Sequence[Sequence[tuple[int, int]]]
) -> dict[str, PlaceMeasure]:
    def rows(values: Callable[[TraceResult], NDArray[np.floating]], reduced: Reduced) -> Floats:
        return np.array(
            [
                [reduced(numbers[start:stop]) if stop > start else np.nan for start, stop in row]
                for numbers, row in (
                    (values(result).astype(np.float64), row)
                    for result, row in zip(results, spans, strict=True)
                )
            ]
        ).reshape(len(results), -1)

    at = np.array([row if row else np.zeros((0, 2)) for row in spans], np.int32)
    at[at[..., 1] <= at[..., 0]] = -1
    return {
        "surprisal_nats": PlaceMeasure(
            "surprisal",
            "nats",
            "How unexpected a token was; of several tokens together, their sum.",
            rows(lambda result: result.surprisal_nats, lambda part: float(part.sum())),
            paired=True,
            of="span_surprisal",
            at=at,
        ),
        "entropy_nats": PlaceMeasure(
            "entropy",
            "nats",
            "How undecided the model is about what follows the token.",
            rows(lambda result: result.entropy_nats, lambda part: float(part[-1])),
            paired=True,
            of="entropy_nats",
            at=at[..., 1:] - (at[..., 1:] > 0),
        ),
        "received_mass": PlaceMeasure(
            "received attention",
            "",
            "Attention that later tokens pay to it, mean over layers and heads.",
            rows(lambda result: result.received_by_token(), lambda part: float(part.sum())),
            paired=True,
            of="span_received",
            at=at,
        ),
    }


def _heads(
    results: Sequence[TraceResult], models: Sequence[str]
) -> tuple[dict[str, Floats], list[str]]:
    """Return [R, L, H] by measure and what is to be known of them; nothing where shapes differ."""
    shapes = [result.sink_score.shape for result in results]
    if len(set(shapes)) > 1:
        said = ", ".join(
            f"{model} has {layers} layers of {heads} heads"
            for model, (layers, heads) in dict(zip(models, shapes, strict=True)).items()
        )
        return {}, [f"Heads are not paired: {said}."]
    length = min(result.length for result in results)
    pairs = [compare(results[0], other, length=length) for other in results[1:]]
    heads = {
        name: np.stack([values, *(pair.second[name] for pair in pairs)]).astype(np.float64)
        for name, values in pairs[0].first.items()
    }
    alike = len(set(models)) == 1
    said = "Heads are paired by their numbers; in two models those are not the same heads."
    return heads, [] if alike else [said]


def _too_long(alignments: Sequence[Alignment]) -> list[str]:
    if all(each.complete for each in alignments):
        return []
    return [
        "The texts differ in too long a part to be aligned: only what they begin and end with "
        "alike is."
    ]
