"""The kinds of run that cut a text into tokens."""

from tokenarium.backend.runs.kind import Kind
from tokenarium.backend.tokenization.request import (
    CharactersRequest,
    NextByteRequest,
    TokenizeRequest,
)

_HERE = "tokenarium.backend.tokenization"

KINDS = (
    Kind(
        request=TokenizeRequest,
        result=f"{_HERE}.result:TokenizeResult",
        compute=f"{_HERE}.runner:tokenize",
        title="Tokenize",
        usual={"model": ""},
    ),
    Kind(
        request=NextByteRequest,
        result=f"{_HERE}.result:NextByteResult",
        compute=f"{_HERE}.next_byte_runner:answer",
        title="Next byte",
    ),
    Kind(
        request=CharactersRequest,
        result=f"{_HERE}.characters_result:CharactersResult",
        compute=f"{_HERE}.characters_runner:ask",
        title="Letters of words",
    ),
)
