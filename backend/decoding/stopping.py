"""When a text ends, as lanes ask for it."""

from typing import Protocol

from tokenarium.backend.speculation.autoregressive import Reason


class Stopping(Protocol):
    """When a text ends; ``speculation.autoregressive.StoppingCriteria`` for a model."""

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of the text."""
        ...

    def cut(self, before: list[int], block: list[int]) -> tuple[int, Reason]:
        """Return how many tokens of a block still belong to the text, and why it ends there."""
        ...
