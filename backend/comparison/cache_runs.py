"""Runs under KV-cache policies beside each other: every policy of every run, step by step."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
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


def compare_cache_runs(runs: Sequence[Run]) -> RunComparison:
    """Lay every policy of every run beside the same one of the first run, step by step.

    Steps are paired by number: token s of each continuation, whatever was generated before. The
    texts are aligned too, to say how much of the continuations is the same.
    """
    requests = [cast(CacheRequest, run.request) for run in runs]
    results = [cast(CacheResult, run.result) for run in runs]
    prompts = [
        result.prompt or request.text for result, request in zip(results, requests, strict=True)
    ]
    of_run = names_of(
        runs,
        [
            (f"{result.budget_tokens} tokens kept", request.model, text)
            for result, request, text in zip(results, requests, beginnings(prompts), strict=True)
        ],
    )
    each = [
        (run, name, part)
        for run, name, result in zip(runs, of_run, results, strict=True)
        for part in result.runs
    ]
    parts = [part for _, _, part in each]
    references = _references(parts, len(results[0].runs))
    tokens = [
        Tokens(part.token_ids, part.result.token_text[part.number][: part.steps]) for part in parts
    ]
    steps = max(part.steps for part in parts)
    return RunComparison(
        kind="cache",
        runs=tuple(runs),
        lanes=tuple(
            _lane(*one, reference) for one, reference in zip(each, references, strict=True)
        ),
        axis="step",
        places=tuple(str(step) for step in range(steps)),
        measures=_measures(parts, steps),
        alignments=tuple(
            None
            if number == reference
            else align(tokens[reference], tokens[number], one_tokenizer=True)
            for number, reference in enumerate(references)
        ),
        notes=_notes(requests, prompts),
    )


def _references(parts: Sequence[PolicyRun], own: int) -> list[int]:
    """Return what each policy is compared with.

    That is the same policy in the first run, which has the first ``own`` of all; where that did not
    have it, the first one there that drops anything.
    """
    named = {part.policy: number for number, part in reversed(list(enumerate(parts[:own])))}
    first = next((at for at in range(own) if parts[at].label != "nothing"), 0)
    return [
        number if number < own else named.get(part.policy, first)
        for number, part in enumerate(parts)
    ]


def _lane(run: Run, name: str, part: PolicyRun, reference: int) -> Lane:
    result = part.result
    facts = {
        "prefill_ms": float(part.prefill_ms),
        "perplexity": float(result.perplexity[part.number]),
        "first_divergence": float(result.first_divergence[part.number]),
    }
    texts = result.token_text[part.number][: part.steps]
    places = np.arange(part.steps, dtype=np.int32)
    title = f"{result.titles[part.number]} · {name}"
    return Lane(
        run_id=run.id,
        name=title,
        model=str(getattr(run.request, "model", "")),
        texts=texts,
        places=places,
        facts=facts,
        reference=reference,
        baseline=part.label == "nothing",
    )


def _measures(parts: Sequence[PolicyRun], steps: int) -> dict[str, PlaceMeasure]:
    rows = partial(beside, count=steps)

    lost = [part.result.lost_mass[part.number, : part.steps] for part in parts]
    nats = [part.result.surprisal_nats[part.number, : part.steps] for part in parts]
    at = places_of([(part.number, part.steps) for part in parts], steps)
    return {
        "kl_nats": PlaceMeasure(
            "divergence from the full cache",
            "nats",
            "How far the reduced cache moves the prediction at this step.",
            rows([part.kl_nats for part in parts]), of="kl_nats", at=at,
        ),
        "lost_mass": PlaceMeasure(
            "attention lost",
            "",
            "Share of the full model's attention that goes to what is not there, mean over layers.",
            rows([value.mean(-1) for value in lost]), of="step_lost", at=at,
        ),
        "cache_bytes": PlaceMeasure(
            "cache", "bytes", "What the cache takes after this step.",
            rows([part.cache_bytes for part in parts]), of="cache_bytes", at=at,
        ),
        "surprisal_nats": PlaceMeasure(
            "surprisal", "nats", "How unexpected the token of this step was under the policy.",
            rows(nats), of="surprisal_nats", at=at,
        ),
        "step_ms": PlaceMeasure(
            "time per token", "ms", "Wall time of the step, the full model's not.",
            rows([part.step_ms for part in parts]), of="step_ms", at=at,
        ),
    }  # fmt: skip


def _notes(requests: Sequence[CacheRequest], prompts: Sequence[str]) -> tuple[str, ...]:
    found = []
    if len(set(prompts)) > 1:
        found.append("The prompts differ: step by step, other things are predicted.")
    if len({request.model for request in requests}) > 1:
        found.append("The models differ, and so do the bytes of an entry.")
    return tuple(found)
