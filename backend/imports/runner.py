"""Read what another engine reports into one result; no model is asked."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tokenarium.backend.imports.checks import check_figures
from tokenarium.backend.imports.lengths import (
    as_facts,
    by_position,
    definitions,
    summed,
    totals_of,
)
from tokenarium.backend.imports.reader import Reader, Source, reader_of
from tokenarium.backend.imports.record import MOST_ROUNDS, ImportedRequest
from tokenarium.backend.imports.request import ImportRequest
from tokenarium.backend.imports.result import REQUEST, ROUND, ImportResult
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.speculation.auditing.audit import Audit

MOST_REQUESTS = 4_096


def import_figures(
    request: ImportRequest,
    loaded: None,  # noqa: ARG001 - what every runner is handed
    limit: int,  # noqa: ARG001
    emit: Callable[[Event], None],  # noqa: ARG001
    cancel: CancelToken,
) -> ImportResult:
    """Return what a file says.

    Raises: ValueError where it is of no known format, or names what does not fit.
    """
    cancel.check()
    source = Source.of(request.content)
    reader = reader_of(source, request.format)
    found = list(reader.read(source))
    cancel.check()
    rounds = sum(len(each.rounds) for each in found)
    if len(found) > MOST_REQUESTS or rounds > MOST_ROUNDS:
        raise ValueError(
            f"content has {len(found):,} requests with {rounds:,} rounds, over {MOST_REQUESTS:,} "
            f"and {MOST_ROUNDS:,}: give fewer requests"
        )
    return _result(request, reader, found)


def _result(
    request: ImportRequest, reader: Reader, found: Sequence[ImportedRequest]
) -> ImportResult:
    places = by_position(found)
    return ImportResult(
        format=reader.slug,
        engine=reader.engine,
        model=next((each.model for each in found if each.model), request.model),
        requests=np.array([_sums(each) for each in found], REQUEST),
        request_name=tuple(each.name for each in found),
        rounds=np.array(
            [
                (number, -1 if r.drafted is None else r.drafted, r.accepted)
                for number, each in enumerate(found)
                for r in each.rounds
            ],
            ROUND,
        ),
        position_drafted=_or_unknown([place.drafted for place in places]),
        position_accepted=_or_unknown([place.accepted for place in places]),
        position_share=np.array(
            [np.nan if place.share is None else place.share for place in places], np.float32
        ),
        definitions=[dict(each) for each in as_facts(definitions(summed(map(totals_of, found))))],
        texts=tuple(each.text for each in found),
        prompts=tuple(each.prompt for each in found),
        audit=Audit(check_figures(found)).as_dict(),
        notes=_notes(found),
        **_tokens(found),
    )


def _sums(each: ImportedRequest) -> tuple[int, ...]:
    totals = totals_of(each)
    known = (totals.rounds, totals.drafted, totals.accepted, totals.tokens)
    return (*(-1 if value is None else value for value in known), int(each.ordered))


def _or_unknown(values: Sequence[int | None]) -> Any:
    return np.array([-1 if value is None else value for value in values], np.int32)


def _tokens(found: Sequence[ImportedRequest]) -> dict[str, Any]:
    ids, texts, logprobs = list[int](), list[str](), list[float]()
    owners, sources = list[int](), list[int]()
    for number, each in enumerate(found):
        count = len(each.token_ids or each.tokens)
        ids += each.token_ids or [-1] * count
        texts += each.tokens or [""] * count
        logprobs += each.logprobs or [float("nan")] * count
        owners += [number] * count
        sources += token_sources(each, count)
    return {
        "token_ids": np.array(ids, np.int32),
        "token_text": tuple(texts),
        "token_logprob": np.array(logprobs, np.float32),
        "token_request": np.array(owners, np.int32),
        "token_source": np.array(sources, np.int32),
    }


def token_sources(request: ImportedRequest, count: int) -> list[int]:
    """Return where each token came from, by number of ``SOURCES``.

    Rounds give their accepted tokens and one that follows; the prompt's own pass may give a first
    one, and the last round may be cut. Anything else is not known.
    """
    if not request.rounds or not request.ordered:
        return [0] * count
    given = [mark for each in request.rounds for mark in (*[1] * each.accepted, 2)]
    if len(given) + 1 == count:
        return [3, *given]
    if count <= len(given) <= count + request.rounds[-1].accepted:
        return given[:count]
    return [0] * count


def _notes(found: Sequence[ImportedRequest]) -> tuple[str, ...]:
    notes = [note for each in found for note in each.notes]
    rounds = [each for each in found if each.rounds]
    if any(not each.ordered for each in rounds):
        notes.append(
            "a histogram of acceptance says how often, not when: its rounds are shown by what they "
            "accepted"
        )
    if any(each.drafted is None for request in rounds for each in request.rounds):
        notes.append(
            "how many tokens each round drafted is not reported: acceptance by place counts what "
            "was never drafted as not accepted"
        )
    if not rounds:
        notes.append("no rounds are reported, sums only")
    return tuple(notes)
