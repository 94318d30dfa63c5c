"""The kind of run that gives a model new tokens."""

from tokenarium.backend.runs.kind import Kind
from tokenarium.backend.tokenization.new_tokens.request import NewTokensRequest

_HERE = "tokenarium.backend.tokenization.new_tokens"

KIND = Kind(
    request=NewTokensRequest,
    result=f"{_HERE}.result:NewTokensResult",
    compute=f"{_HERE}.runner:swap",
    title="New tokens",
)
