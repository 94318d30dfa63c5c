"""The question why a token of a stored run came."""

from typing import Any

from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.runs.request import TextRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.trace.result import TraceResult


def explain(run: Run, place: int, lane: int = 0) -> AttributeRequest:
    """Return the attribution of a token of a stored run, the text carried along.

    Args:
        run: a trace, or a decoding run of a model.
        place: token of the text of a trace, or step of a decoding run.
        lane: of a decoding run.

    Raises: UserError where the run has no such token, or nothing stands before it.
    """
    if isinstance(run.result, TraceResult):
        fields = _of_trace(run, place)
    elif isinstance(run.result, DecodeResult) and isinstance(run.request, DecodeRequest):
        fields = _of_decoding(run, run.request, run.result, place, lane)
    else:
        raise UserError(
            f"run={run.id} is a {run.request.kind}, whose tokens are not explained: give a trace "
            "or a decode run of a model"
        )
    with told_in_words():
        return AttributeRequest(**fields, matmul_precision="medium")


def _read_by(request: TextRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in TextRequest.model_fields}


def _of_trace(run: Run, place: int) -> dict[str, Any]:
    assert isinstance(run.request, TextRequest)
    assert isinstance(run.result, TraceResult)
    _refuse_outside(run, "token", place, 1, len(run.result.token_ids))
    return {**_read_by(run.request), "target": place}


def _of_decoding(
    run: Run, request: DecodeRequest, result: DecodeResult, step: int, lane: int
) -> dict[str, Any]:
    """Return the text up to the token, which is its last one."""
    _refuse_outside(run, "lane", lane, 0, len(result.lanes))
    pieces = result.lanes[lane].token_text
    _refuse_outside(run, "step", step, 0, len(pieces))
    written = "".join(pieces[: step + 1])
    if "\N{REPLACEMENT CHARACTER}" in written:
        raise UserError(f"step={step} ends inside a character: choose the step that ends it")
    fields = {**_read_by(request), "target": -1}
    if request.messages or request.chat_template:
        # What the template wrote is text now, its special tokens spelled out.
        plain = {"messages": (), "chat_template": False, "special_tokens": True, "add_bos": False}
        return {**fields, **plain, "text": result.prompt + written}
    return {**fields, "text": result.prompt + written}


def _refuse_outside(run: Run, what: str, number: int, first: int, count: int) -> None:
    if not first <= number < count:
        raise UserError(f"{what}={number} is not between {first} and {count - 1} in run={run.id}")
