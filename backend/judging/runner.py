"""Judge a text: one reading, then every measure on the same passage."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.cost.fits import refuse_text_unless_fits
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.judging.judgement import Judgement
from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.judging.passage import Passage
from tokenarium.backend.judging.reading import Reduced, last_states, reduce_rows
from tokenarium.backend.judging.request import JudgeRequest
from tokenarium.backend.judging.result import JudgeResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


@torch.inference_mode()
def judge(
    request: JudgeRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> JudgeResult:
    """Read a text once and measure its tokens.

    Args:
        limit: most tokens, the continuation's included.
        emit: receives progress.
        cancel: checked in every layer, for every chunk of predictions and before every measure.
    Raises: ValueError where the text, the continuation or a parameter does not fit; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    ids = [*tokens.ids, *_continuation(request, loaded, len(tokens.ids), limit)]
    refuse_text_unless_fits(loaded, len(ids), Choices(tiles=1, top_k=1, lens=False))
    places = judged_places(request, tokens, len(ids))
    measures = [spec.measure for spec in request.measures]
    progress = ProgressReporter(emit, cancel)
    layers = len(loaded.layers)
    states = last_states(
        loaded, ids, lambda layer: progress.report("reading layers", layer, layers)
    )
    reduced = reduce_rows(
        loaded,
        states,
        ids,
        places,
        measures,
        request.seed,
        lambda done, total: progress.report("predicting", done, total),
    )
    texts = tokens.text + decode_each(loaded, ids[len(tokens.ids) :])
    found = []
    for number, measure in enumerate(measures):
        progress.report(measure.title, number, len(measures))
        passage = _passage(measure, ids, texts, places, reduced, request.seed, states)
        if "model" in measure.needs:

            def read(other: Sequence[int]) -> Tensor:
                return last_states(loaded, other, lambda _: cancel.check())

            passage = replace(passage, loaded=loaded, read=read, check=cancel.check)
        found.append(measure.judge(passage))
    return _result(tokens, ids, texts, places, reduced, measures, found)


def judged_places(request: JudgeRequest, tokens: Tokens, length: int) -> NDArray[np.int64]:
    """Return [n] the positions of the tokens that are judged.

    Raises: ValueError if there are fewer than 2.
    """
    first = len(tokens.ids) if request.continuation else request.first
    added = np.zeros(length, np.bool_)
    added[: len(tokens.ids)] = tokens.special
    places = np.flatnonzero(~added & (np.arange(length) >= max(1, first)))
    if len(places) < 2:
        given = f"first={first} of {length} tokens leaves" if first else f"{length} tokens leave"
        raise ValueError(
            f"{given} {len(places)} to judge, and the first of a text is never judged: give at "
            "least 2 more"
        )
    return places.astype(np.int64)


def _continuation(
    request: JudgeRequest, loaded: LoadedModel, before: int, limit: int
) -> tuple[int, ...]:
    most = min(embedding_entries(loaded.model), len(loaded.tokenizer))
    for key in request.continuation:
        if key >= most:
            raise ValueError(
                f"continuation has token {key}, and {loaded.name} has {most}: choose at most "
                f"{most - 1}"
            )
    if before + len(request.continuation) > limit:
        raise ValueError(
            f"continuation has {len(request.continuation)} tokens after {before} of the text, the "
            f"limit is {limit}: shorten it"
        )
    return request.continuation


def _passage(
    measure: Measure,
    ids: list[int],
    texts: tuple[str, ...],
    places: NDArray[np.int64],
    reduced: Reduced,
    seed: int,
    states: Tensor,
) -> Passage:
    needs = measure.needs
    some = slice(None) if "draws" in needs else slice(0)
    return Passage(
        ids=np.asarray(ids, np.int64),
        texts=texts,
        places=places,
        surprisal=reduced.surprisal,
        entropy=reduced.entropy,
        varentropy=reduced.varentropy,
        drawn_ids=reduced.drawn_ids[some],
        drawn_log_probs=reduced.drawn_log_probs[some],
        rows=reduced.rows[measure.slug],
        seed=seed,
        states=states if "states" in needs else None,
    )


def _result(
    tokens: Tokens,
    ids: list[int],
    texts: tuple[str, ...],
    places: NDArray[np.int64],
    reduced: Reduced,
    measures: list[Measure],
    found: list[Judgement],
) -> JudgeResult:
    length = len(ids)
    scores = np.full((len(found), length), np.nan, np.float32)
    marked = np.zeros((len(found), length), np.bool_)
    for number, each in enumerate(found):
        scores[number, places] = each.token_score
        if each.marked is not None:
            marked[number, places] = each.marked
    judged = np.zeros(length, np.bool_)
    judged[places] = True
    turn = np.full(length, -1, np.int32)
    turn[: len(tokens.ids)] = tokens.turn
    if tokens.roles:  # what follows belongs to the turn that the template began
        turn[len(tokens.ids) :] = len(tokens.roles) - 1
    return JudgeResult(
        token_ids=np.asarray(ids, np.int32),
        token_text=texts,
        text=tokens.source,
        turn=turn,
        turn_role=tokens.roles,
        judged=judged,
        surprisal_nats=_spread(reduced.surprisal, places, length),
        entropy_before_nats=_spread(reduced.entropy, places, length),
        measures=tuple(measure.slug for measure in measures),
        titles=tuple(measure.title for measure in measures),
        token_score=scores,
        marked=marked,
        **_scores(found),
        details={m.slug: dict(e.details) for m, e in zip(measures, found, strict=True)},
        notes=tokens.notes + tuple(note for each in found for note in each.notes),
    )


def _scores(found: list[Judgement]) -> dict[str, Any]:
    columns = {
        "score": [each.score for each in found],
        "score_low": [each.low for each in found],
        "score_high": [each.high for each in found],
        "null_mean": [each.null.mean for each in found],
        "null_low": [each.null.low for each in found],
        "null_high": [each.null.high for each in found],
        "null_at_least": [each.null.at_least for each in found],
    }
    return {name: np.asarray(values, np.float64) for name, values in columns.items()}


def _spread(
    values: NDArray[np.float64], places: NDArray[np.int64], length: int
) -> NDArray[np.float32]:
    """Return [T] the values of the judged tokens at their places; NaN elsewhere."""
    spread = np.full(length, np.nan, np.float32)
    spread[places] = values
    return spread
