"""How much text a request may give, known before any of it is cut into tokens."""

from collections.abc import Iterator
from typing import Any

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.request import Request

TOKEN_BYTES = 32
"""Bytes of a long token: what is longer than the limit of tokens times this is over the limit."""
LEAST_BYTES = 4_096


def refuse_long(request: Request, token_limit: int) -> None:
    """Raise if a text of a request is longer than the limit of tokens can be.

    To cut a text into tokens takes seconds for each million characters, and cannot be stopped.

    Args:
        request: whose fields are looked at: each is one text, with all that is inside of it; of
            ``prompts`` each is one.
        token_limit: most tokens of a text.

    Raises:
        UserError: naming the field, its length in bytes and the most.
    """
    most = max(token_limit * TOKEN_BYTES, LEAST_BYTES)
    for name in type(request).model_fields:
        given = getattr(request, name)
        for part in given if name == "prompts" else (given,):
            size = sum(_sizes(part))
            if size > most:
                raise UserError(
                    f"{name} has {size:,} bytes, more than any text of {token_limit:,} tokens, the "
                    f"limit: at most {most:,} are read here, so shorten it"
                )


def _sizes(value: Any) -> Iterator[int]:
    """Yield the bytes of every text in a value of a request."""
    if isinstance(value, str):
        yield len(value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _sizes(key)
            yield from _sizes(entry)
    elif isinstance(value, (tuple, list)):
        for entry in value:
            yield from _sizes(entry)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _sizes(getattr(value, name))
