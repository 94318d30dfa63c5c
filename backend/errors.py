"""Failures a person can act on, in words: argument, value, allowed range, remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from tokenarium.storage import DatabaseFailed, StoreError, StoreUnavailable

_LONGEST_VALUE = 60
_FROM_VALIDATORS = ("Value error, ", "Assertion failed, ")


class UserError(ValueError):
    """A message for a person: argument, value, allowed range, remedy."""


class NoAnswer(UserError):  # noqa: N818
    """The run store did not answer; what was asked may be right."""


def in_words(error: BaseException) -> UserError | None:
    """Return ``error`` as a message for a person, or None if it is a defect of the program.

    Args:
        error: what a runner, a model, the store or a request raised.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, ValidationError):
        return UserError("; ".join(_validation_lines(error)))
    # torch's own class, recognised by name because torch may not even be imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return UserError(
            "the memory is used up: take a shorter text, a smaller model, or dtype=bfloat16"
        )
    if isinstance(error, DatabaseFailed | StoreUnavailable):
        return NoAnswer(str(error))
    if isinstance(error, StoreError | ValueError):
        return UserError(str(error))
    # pyo3's PanicException, by which a tokenizer ends: it would pass every ``except Exception``.
    if not isinstance(error, Exception | KeyboardInterrupt | SystemExit | GeneratorExit):
        return UserError(
            f"the tokenizer of this model fails on this text ({type(error).__name__}: {error}): "
            "change the text, or choose another model"
        )
    return None


@contextmanager
def told_in_words() -> Iterator[None]:
    """Turn expected failures raised inside into ``UserError``; leave defects as they are."""
    try:
        yield
    except BaseException as error:
        known = in_words(error)
        if known is None or known is error:
            raise
        raise known from error


def _validation_lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"]
        for prefix in _FROM_VALIDATORS:
            message = message.removeprefix(prefix)
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] in ("value_error", "assertion_error"):
            yield message
        elif problem["type"] == "missing":
            yield f"{name} is missing: give it"
        elif problem["type"] == "string_too_short":
            yield f"{name} is empty: give at least one character"
        else:
            yield f"{name}={shown(problem['input'])}: {message}"


def shown(value: object) -> str:
    """Return a value as it stands in a message: not all of a long one."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of thousands of digits are not written out
        text = f"a {type(value).__name__} that is too long to write"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
