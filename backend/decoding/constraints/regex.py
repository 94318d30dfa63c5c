"""A text that matches a regular expression."""

from functools import lru_cache
from typing import Any

from pydantic import Field, field_validator

from tokenarium.backend.decoding.constraint import Constraint

LONGEST_S = 1.0
"""Seconds that one match may take: some patterns take for ever."""


class RegularExpression(Constraint):
    """The whole text matches; a beginning is viable where a match can still be completed."""

    slug = "regex"
    title = "Regular expression"
    explanation = "The whole text, a leading space included, matches a regular expression."

    pattern: str = Field(
        r" ?[A-Z][a-z]+( [a-z]+)*\.",
        min_length=1,
        max_length=500,
        description="In the syntax of Python's regex package; begin with a space and a question "
        "mark where the text may begin with a space.",
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        _compiled(pattern)
        return pattern

    def viable(self, text: str) -> bool:
        """Return whether it is the beginning of a match."""
        return self._match(text, partial=True)

    def complete(self, text: str) -> bool:
        """Return whether it matches."""
        return self._match(text, partial=False)

    def _match(self, text: str, partial: bool) -> bool:
        try:
            found = _compiled(self.pattern).fullmatch(text, partial=partial, timeout=LONGEST_S)
        except TimeoutError:
            raise ValueError(
                f"pattern={self.pattern!r} takes over {LONGEST_S:g} s for {text[-40:]!r}: write it "
                "without repeats inside repeats"
            ) from None
        return found is not None


@lru_cache(maxsize=32)
def _compiled(pattern: str) -> Any:
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern={pattern!r} is no regular expression: {error}") from None
