"""The kind of run that another server decoded."""

from tokenarium.backend.logprobs.request import LogprobsRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=LogprobsRequest,
    result="tokenarium.backend.decoding.result:DecodeResult",
    compute="tokenarium.backend.logprobs.runner:read_response",
    title="Response with log probabilities",
    usual={"model": ""},
)
