"""A text of listed words alone."""

from functools import lru_cache

from pydantic import Field

from tokenarium.backend.decoding.constraint import Constraint


class Words(Constraint):
    """Words of the list, with one space between them, and maybe one before the first."""

    slug = "words"
    title = "Listed words"
    explanation = "The text is made of words of a list, in any order, with single spaces."

    words: str = Field(
        "yes no maybe", min_length=1, max_length=4000, description="The words, with spaces between."
    )
    most: int = Field(0, ge=0, le=1000, description="Most words of the text; 0 for any number.")

    def viable(self, text: str) -> bool:
        """Return whether whole words are listed and the last one begins so."""
        *whole, last = text.removeprefix(" ").split(" ")
        known, begun = _known(self.words)
        if not all(word in known for word in whole):
            return False
        if self.most and len(whole) >= self.most:
            return False
        return last in begun

    def complete(self, text: str) -> bool:
        """Return whether the last word is whole."""
        return self.viable(text) and text.rpartition(" ")[2] in _known(self.words)[0]

    def shortened(self, text: str) -> str:
        """Return the last word, unless words are counted."""
        words = text.removeprefix(" ").split(" ")
        return text if self.most or len(words) < 2 else f" {words[-1]}"


@lru_cache(maxsize=64)
def _known(words: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words, and everything with which one begins."""
    each = frozenset(words.split())
    return each, frozenset(one[:length] for one in each for length in range(len(one) + 1))
