"""A part of the plane of entropy and varentropy in which a strategy acts in a way of its own."""

from dataclasses import dataclass

EVERYWHERE = (0.0, float("inf"))


@dataclass(frozen=True)
class Region:
    """Between two entropies and two varentropies, both ends of each left out."""

    name: str
    """What the strategy does there, in a word or two."""
    entropy_nats: tuple[float, float] = EVERYWHERE
    varentropy_nats2: tuple[float, float] = EVERYWHERE

    def has(self, entropy: float, varentropy: float) -> bool:
        """Return whether a distribution lies in it."""
        return all(
            low < value < high
            for value, (low, high) in (
                (entropy, self.entropy_nats),
                (varentropy, self.varentropy_nats2),
            )
        )
