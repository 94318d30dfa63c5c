"""A text without certain phrases."""

from pydantic import Field

from tokenarium.backend.decoding.constraint import Constraint


class NoPhrases(Constraint):
    """Phrases may not occur, however they are cut into tokens; case does not matter."""

    slug = "no_phrases"
    title = "Without phrases"
    explanation = "The text has none of these phrases, large or small."

    phrases: str = Field(
        "the", min_length=1, max_length=2000, description="Phrases, with commas between."
    )

    @property
    def listed(self) -> list[str]:
        """The phrases, in small letters."""
        return [one for one in map(str.strip, self.phrases.casefold().split(",")) if one]

    def viable(self, text: str) -> bool:
        """Return whether none occurs so far."""
        small = text.casefold()
        return not any(one in small for one in self.listed)

    def complete(self, text: str) -> bool:
        """Return the same: it may end anywhere."""
        return self.viable(text)

    def shortened(self, text: str) -> str:
        """Return the end of the text, as long as the longest phrase."""
        longest = max(map(len, self.listed), default=0)
        return text[-longest:] if longest else ""
