"""A text without certain letters."""

from pydantic import Field

from tokenarium.backend.decoding.constraint import Constraint


class NoLetters(Constraint):
    """A lipogram; upper and lower case are the same."""

    slug = "no_letters"
    title = "Without letters"
    explanation = "The text has none of these letters, large or small."

    letters: str = Field(
        "e", min_length=1, max_length=64, description="Letters that may not occur, side by side."
    )

    def viable(self, text: str) -> bool:
        """Return whether none occurs so far."""
        return not set(self.letters.casefold()) & set(text.casefold())

    def complete(self, text: str) -> bool:
        """Return the same: it may end anywhere."""
        return self.viable(text)

    def shortened(self, text: str) -> str:
        """Return nothing: what was written does not matter."""
        return text[:0]
