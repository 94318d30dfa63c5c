"""A text without certain phrases."""

from functools import lru_cache

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
    def listed(self) -> tuple[str, ...]:
        """The phrases, in small letters."""
        return _listed(self.phrases)

    def viable(self, text: str) -> bool:
        """Return whether none occurs so far."""
        small = text.casefold()
        return not any(one in small for one in _listed(self.phrases))

    def complete(self, text: str) -> bool:
        """Return the same: it may end anywhere."""
        return self.viable(text)

    def shortened(self, text: str) -> str:
        """Return the longest end of the text with which a phrase begins: no other end matters."""
        begun, small = _begun(self.phrases), text.casefold()
        longest = max(map(len, begun), default=0)
        ends = (small[-length:] for length in range(min(longest, len(small)), 0, -1))
        return next((end for end in ends if end in begun), "")


@lru_cache(maxsize=64)
def _listed(phrases: str) -> tuple[str, ...]:
    return tuple(one for one in map(str.strip, phrases.casefold().split(",")) if one)


@lru_cache(maxsize=64)
def _begun(phrases: str) -> frozenset[str]:
    """Return everything with which a phrase begins, without the whole phrases."""
    return frozenset(one[:length] for one in _listed(phrases) for length in range(1, len(one)))
