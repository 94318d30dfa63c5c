"""Which small model a strategy reads with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SmallModel:
    """A model by its name, or the first layers of the model itself."""

    name: str = ""
    """Empty where the first layers of the model itself stand for it."""
    share: float = 1.0
    """Of the model's layers, where they stand for a small one."""
    prompt: str = ""
    """Whose prompt it reads: empty for the model's own; with another, it is the model itself."""

    def layers(self, count: int) -> int | None:
        """Return how many of ``count`` layers are run; None for all of a model."""
        return (
            None if self.name or self.prompt else max(1, min(count - 1, round(self.share * count)))
        )
