"""Read a response with log probabilities into a decoding run; no model is asked."""

from collections.abc import Callable

from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.logprobs.decoded import as_decoded
from tokenarium.backend.logprobs.reading import parse, read_logprobs
from tokenarium.backend.logprobs.request import LogprobsRequest
from tokenarium.backend.runs.events import CancelToken, Event


def read_response(
    request: LogprobsRequest,
    loaded: None,  # noqa: ARG001 - what every runner is handed
    limit: int,  # noqa: ARG001
    emit: Callable[[Event], None],  # noqa: ARG001
    cancel: CancelToken,
) -> DecodeResult:
    """Return what a response says.

    Raises: ValueError where it is no such response, or names what does not fit; Cancelled.
    """
    cancel.check()
    texts = read_logprobs(parse(request.content))
    cancel.check()
    return as_decoded(texts)
