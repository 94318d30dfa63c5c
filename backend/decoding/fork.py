"""The road not taken: from a place in a stored run to the request that writes on from there."""

from collections.abc import Callable, Sequence
from typing import Any

from tokenarium.backend.decoding.request import MOST_TOKENS, DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.runs.request import TextRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.trace.result import TraceResult

MORE_TOKENS = 32
"""New tokens after a place of a decoding run that is continued."""


def fork(run: Run, place: int, rank: int | None = None) -> DecodeRequest:
    """Return what writes on from a place of a stored run, with another token or the same.

    Args:
        run: a trace, a speculative run, or a decoding run.
        place: token of a trace, which is kept; node of a speculative run, which is kept; new token
            of a decoding run, counted through all lanes, in whose place the other one stands.
        rank: of the token that follows, among the likeliest that the run recorded there; None
            leaves the choice to the strategy, and keeps the new token of a decoding run.

    Returns: the request; its prompt and forced tokens are those of the run, id for id.

    Raises: UserError where the run has no such place, or nothing is known of what could follow.
    """
    known: dict[type, Callable[[Run, int, int | None], dict[str, Any]]] = {
        TraceResult: _of_trace,
        SpeculationResult: _of_speculation,
        DecodeResult: _of_decoding,
    }
    found = known.get(type(run.result))
    if found is None:
        raise UserError(
            f"run={run.id} is a {run.request.kind}, which has no tokens to write on from: give a "
            "trace, a speculate or a decode run"
        )
    fields = found(run, place, rank)
    with told_in_words():
        return DecodeRequest(**fields)


def _of_trace(run: Run, place: int, rank: int | None) -> dict[str, Any]:
    result, request = run.result, run.request
    assert isinstance(result, TraceResult)
    assert isinstance(request, TextRequest)
    _within(place, result.length, "token", run)
    begin = [] if rank is None else [_token(result.top_ids[place], rank, run)]
    return {
        **_prompt_of(request),
        **_read_until(request, result, place),
        "prompt_ids": result.token_ids[: place + 1].tolist(),
        "begin": begin,
    }


def _read_until(request: TextRequest, result: TraceResult, place: int) -> dict[str, Any]:
    """Return text or messages as far as they were read; for people, the ids say it exactly."""
    stop = int(result.offsets[: place + 1, 1].max())
    if not request.messages:
        return {"text": request.text[:stop] or request.text}
    turn = int(result.turn[place]) if result.turn is not None else -1
    if not 0 <= turn < len(request.messages):
        return {}
    last = request.messages[turn]
    source = result.text or ""
    begins = source.rfind(last.content, 0, stop + len(last.content))
    read = last.content[: max(0, stop - begins)] if begins >= 0 else ""
    content = read or last.content
    return {"messages": (*request.messages[:turn], last.model_copy(update={"content": content}))}


def _of_speculation(run: Run, place: int, rank: int | None) -> dict[str, Any]:
    result, request = run.result, run.request
    assert isinstance(result, SpeculationResult)
    assert isinstance(request, TextRequest)
    nodes = result.node_columns
    _within(place, len(nodes), "node", run)
    path: list[int] = []
    node = place
    while nodes["parent"][node] >= 0:
        path.insert(0, int(nodes["token_id"][node]))
        node = int(nodes["parent"][node])
    before = int(result.rounds["new_tokens"][: nodes["round"][place]].sum())
    begin = [*result.token_ids[:before].tolist(), *path]
    if rank is not None:
        begin.append(_token(result.target_top_ids[place], rank, run))
    return {
        **_prompt_of(request),
        "prompt_ids": result.prompt_ids.tolist(),
        "begin": begin,
        "max_new_tokens": min(len(begin) + MORE_TOKENS, MOST_TOKENS),
    }


def _of_decoding(run: Run, place: int, rank: int | None) -> dict[str, Any]:
    result, request = run.result, run.request
    assert isinstance(result, DecodeResult)
    if not isinstance(request, DecodeRequest):
        raise UserError(f"run={run.id} was written elsewhere: no model is here to write on")
    _within(place, len(result.token_columns), "new token", run)
    lane = int(result.token_columns["lane"][place])
    first = int((result.token_columns["lane"] < lane).sum())
    written = result.token_columns["token_id"][first : place + (rank is None)].tolist()
    if -1 in written:
        raise UserError(f"place={place} comes after a mixture of embeddings, which no token names")
    more = [] if rank is None else [_token(result.top_ids[place], rank, run)]
    asked = request.model_dump(exclude={"strategies", "begin", "max_new_tokens"})
    wanted = request.max_new_tokens if rank is not None else len(written) + MORE_TOKENS
    own = {"slug": result.strategies[lane], "parameters": _parameters(result, lane)}
    return {
        **asked,
        "strategies": [own],
        "begin": [*written, *more],
        "max_new_tokens": min(wanted, MOST_TOKENS),
    }


def _parameters(result: DecodeResult, lane: int) -> dict[str, Any]:
    return result.lanes[lane].parameters


def _prompt_of(request: TextRequest) -> dict[str, Any]:
    """Return what makes another request read the same text with the same model."""
    names = [name for name in TextRequest.model_fields if name != "seed"]
    return {name: getattr(request, name) for name in names}


def _within(place: int, count: int, what: str, run: Run) -> None:
    if not 0 <= place < count:
        raise UserError(f"place={place} is not among the {count} {what}s of run={run.id}")


def _token(ids: Sequence[int], rank: int, run: Run) -> int:
    known = [int(token) for token in ids if token >= 0]
    if not 0 <= rank < len(known):
        raise UserError(
            f"rank={rank} is not among the {len(known)} likeliest tokens that run={run.id} "
            "recorded there"
        )
    return known[rank]
