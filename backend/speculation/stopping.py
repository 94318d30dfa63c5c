"""Where a text ends: after an end-of-text token, at its length, or where a string appears."""

from dataclasses import dataclass
from typing import Literal

from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel

Reason = Literal["", "end", "length", "stop"]
"""Why a text ended: not yet, an end-of-text token, its length, or a string to stop at."""


@dataclass(frozen=True)
class Stopping:
    """When to stop, and how many of a block of tokens still belong to the text."""

    loaded: LoadedModel
    most: int
    """Most new tokens."""
    strings: tuple[str, ...] = ()
    """The text ends with the token that completes one of these."""

    def cut(self, before: list[int], block: list[int]) -> tuple[int, Reason]:
        """Return how many tokens of a block stay after the new tokens before it, and why."""
        ends = end_of_text(self.loaded)
        for count in range(1, len(block) + 1):
            if block[count - 1] in ends:
                return count, "end"
            if self.strings and self._said(before + block[:count]):
                return count, "stop"
            if len(before) + count >= self.most:
                return count, "length"
        return len(block), ""

    def _said(self, ids: list[int]) -> bool:
        text = str(self.loaded.tokenizer.decode(ids))
        return any(string in text for string in self.strings)
