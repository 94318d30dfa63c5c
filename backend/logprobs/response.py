"""What a response says of the tokens it wrote, whatever form it came in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GivenToken:
    """One token and the log probabilities that were given for its place."""

    text: str
    """As given; a token that is no whole character as the server spells it."""
    log_prob: float
    """ln p of the token."""
    top: tuple[tuple[str, float], ...] = ()
    """Likeliest tokens and their ln p, likeliest first; empty where none were asked for."""


@dataclass(frozen=True)
class GivenText:
    """One choice of a response."""

    tokens: tuple[GivenToken, ...]
    model: str = ""
    prompt: str = ""
    """Where the response or the request beside it has it."""
    ended: str = ""
    """Why it ended, in the server's word."""

    @property
    def text(self) -> str:
        """All tokens one after another."""
        return "".join(token.text for token in self.tokens)
