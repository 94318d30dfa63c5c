"""Speculative runs beside each other: round by round, and how fast each was."""

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
from tokenarium.backend.runs.run import Run
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult


def compare_speculations(runs: Sequence[Run]) -> RunComparison:
    """Lay speculative runs beside the first one, by the number of the round.

    The texts are aligned too: under lossless rules at temperature 0 they are the same.
    """
    requests = [cast(SpeculateRequest, run.request) for run in runs]
    results = [cast(SpeculationResult, run.result) for run in runs]
    prompts = [
        result.prompt or request.text for result, request in zip(results, requests, strict=True)
    ]
    names = names_of(
        runs,
        [
            (
                Drafter.registry.find(request.drafter.slug).title,
                request.model,
                text,
                request.rule.slug,
                f"draft length {request.draft_len}",
                f"temperature {request.temperature:g}",
            )
            for request, text in zip(requests, beginnings(prompts), strict=True)
        ],
    )
    first, *others = (Tokens(result.token_ids, result.token_text) for result in results)
    rounds = max(len(result.rounds) for result in results)
    return RunComparison(
        kind="speculate",
        runs=tuple(runs),
        lanes=tuple(map(_lane, runs, names, requests, results)),
        axis="round",
        places=tuple(str(number) for number in range(rounds)),
        measures=_measures(results, rounds),
        alignments=(None, *(align(first, other, one_tokenizer=True) for other in others)),
        notes=_notes(runs, requests, prompts),
    )


def _lane(run: Run, name: str, request: SpeculateRequest, result: SpeculationResult) -> Lane:
    facts = {
        "tokens_per_target_call": result.tokens_per_target_call,
        "tokens_per_s": result.tokens_per_s,
        "plain_tokens_per_s": result.plain_tokens_per_s,
    }
    places = result.node_columns["round"][result.token_node].astype(np.int32)
    return Lane(run.id, name, request.model, result.token_text, places, facts)


def _measures(results: Sequence[SpeculationResult], rounds: int) -> dict[str, PlaceMeasure]:
    rows = partial(beside, count=rounds)

    at = places_of([(0, len(result.rounds)) for result in results], rounds)[..., 1:]
    new = rows([result.rounds["new_tokens"] for result in results])
    spent = rows(
        [
            result.rounds["draft_ms"] + result.rounds["verify_ms"] + result.rounds["other_ms"]
            for result in results
        ]
    )
    return {
        "accepted": PlaceMeasure(
            "accepted guesses", "tokens", "Guesses of the round that are in the text.",
            rows([result.accepted_in_text for result in results]), of="round_accepted", at=at,
        ),
        "token_ms": PlaceMeasure(
            "time per new token", "ms", "Time of the round over the tokens that it added.",
            spent / np.where(new > 0, new, np.nan), weights=new,
            of="round_token_ms", at=at,
        ),
        "drafted": PlaceMeasure(
            "drafted tokens", "tokens", "Guesses that were made in the round.",
            rows([result.rounds["drafted"] for result in results]), of="round_drafted", at=at,
        ),
    }  # fmt: skip


def _notes(
    runs: Sequence[Run], requests: Sequence[SpeculateRequest], prompts: Sequence[str]
) -> tuple[str, ...]:
    found = []
    if len(set(prompts)) > 1:
        found.append("The prompts differ: some are easier to guess than others.")
    if len({request.model for request in requests}) > 1:
        found.append("The models differ.")
    machines = {(run.environment.get("device"), run.environment.get("device_name")) for run in runs}
    if len(machines) > 1:
        found.append("They were timed on different machines: times cannot be compared.")
    return tuple(found)
