"""The kind of run that gives a model new tokens."""

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import OCEAN
from tokenarium.backend.runs.kind import Example, Kind
from tokenarium.backend.tokenization.new_tokens.request import NewTokensRequest

_HERE = "tokenarium.backend.tokenization.new_tokens"

KIND = Kind(
    request=NewTokensRequest,
    result=f"{_HERE}.result:NewTokensResult",
    compute=f"{_HERE}.runner:swap",
    title="New tokens",
    examples=(
        Example(
            "rare-words-whole",
            "Rare words, whole",
            "Four words become one token each, untrained: what does that cost?",
            NewTokensRequest(model=DEFAULT_MODEL, text=OCEAN),
        ),
    ),
)
