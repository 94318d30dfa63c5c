"""Decoding runs beside each other: every strategy of every run, token by token."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from tokenarium.backend.comparison.names import beginnings, names_of
from tokenarium.backend.comparison.result import (
    Lane,
    PlaceMeasure,
    RunComparison,
    beside,
    places_of,
)
from tokenarium.backend.comparison.spans import Tokens, align
from tokenarium.backend.decoding.decoded_lane import DecodedLane
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.runs.run import Run


def compare_decodings(runs: Sequence[Run]) -> RunComparison:
    """Lay every lane of every run beside the same strategy of the first run, by number of token.

    A strategy that the first run does not have stands beside its plain decoding. New tokens are
    paired by number, whatever was written before; the texts are aligned too, to say how much of
    them is the same.
    """
    requests = [cast(DecodeRequest, run.request) for run in runs]
    results = [cast(DecodeResult, run.result) for run in runs]
    prompts = [
        result.prompt or request.text for result, request in zip(results, requests, strict=True)
    ]
    of_run = names_of(
        runs,
        [
            (text, request.model, f"seed {request.seed}")
            for request, text in zip(requests, beginnings(prompts), strict=True)
        ],
    )
    lanes = [lane for result in results for lane in result.lanes]
    owners = [at for at, result in enumerate(results) for _ in result.lanes]
    references = _references(lanes, len(results[0].lanes))
    tokens = [Tokens(lane.token_ids, lane.token_text) for lane in lanes]
    count = max(len(lane.token_ids) for lane in lanes)
    return RunComparison(
        kind="decode",
        runs=tuple(runs),
        lanes=tuple(
            _lane(runs[owner], of_run[owner], lane, reference)
            for owner, lane, reference in zip(owners, lanes, references, strict=True)
        ),
        axis="step",
        places=tuple(map(str, range(count))),
        measures=_measures(lanes, count),
        alignments=tuple(
            None
            if number == reference
            else align(tokens[reference], tokens[number], one_tokenizer=True)
            for number, reference in enumerate(references)
        ),
        notes=_notes(requests, prompts),
    )


def _references(lanes: Sequence[DecodedLane], own: int) -> list[int]:
    """Return the lane of the first run, which has the first ``own``, that each is compared with."""
    known = {
        (lane.strategy, str(lane.parameters)): at
        for at, lane in reversed(list(enumerate(lanes[:own])))
    }
    alike = {lane.strategy: at for at, lane in reversed(list(enumerate(lanes[:own])))}
    return [
        at
        if at < own
        else known.get((lane.strategy, str(lane.parameters)), alike.get(lane.strategy, 0))
        for at, lane in enumerate(lanes)
    ]


def _lane(run: Run, name: str, lane: DecodedLane, reference: int) -> Lane:
    facts = {
        "passes": float(lane.passes),
        "token_steps": float(lane.token_steps),
        "seconds": lane.seconds,
    }
    return Lane(
        run_id=run.id,
        name=f"{lane.title} · {name}",
        model=str(getattr(run.request, "model", "")),
        texts=lane.token_text,
        places=np.arange(len(lane.token_ids), dtype=np.int32),
        facts=facts,
        reference=reference,
        baseline=lane.number == 0,
    )


def _measures(lanes: Sequence[DecodedLane], count: int) -> dict[str, PlaceMeasure]:
    rows = partial(beside, count=count)

    with np.errstate(divide="ignore"):
        surprisal = [-np.log(lane.tokens["probability"]) for lane in lanes]
    spent = [
        np.diff(passes, prepend=0) if (passes >= 0).all() else np.full(len(passes), np.nan)
        for passes in (lane.tokens["passes"] for lane in lanes)
    ]
    at = places_of([(lane.number, len(lane.token_ids)) for lane in lanes], count)
    return {
        "entropy_nats": PlaceMeasure(
            "entropy", "nats", "How undecided the model was before it wrote the token.",
            rows([lane.entropy_nats for lane in lanes]), of="step_entropy", at=at,
        ),
        "surprisal_nats": PlaceMeasure(
            "surprisal", "nats", "How unexpected the token is by the model itself: -ln p.",
            rows(surprisal), of="step_surprisal", at=at,
        ),
        "passes": PlaceMeasure(
            "passes", "", "Forward passes that were spent on the token.",
            rows(spent), of="step_spent", at=at,
        ),
    }  # fmt: skip


def _notes(requests: Sequence[DecodeRequest], prompts: Sequence[str]) -> tuple[str, ...]:
    found = []
    if len(set(prompts)) > 1:
        found.append("The prompts differ: token by token, other things are predicted.")
    if len({request.model for request in requests}) > 1:
        found.append("The models differ, and so may their tokens.")
    return tuple(found)
